-- The role that an account elsewhere gave here at its last sign-in, by the mapping of its provider.
-- A provider takes back what it gave, and never what somebody of the house gave.
ALTER TABLE identities ADD COLUMN granted_role TEXT;
