-- Only the refresh token that was rotated last may come again for a moment; an older one is stolen.
ALTER TABLE sessions ADD COLUMN rotated_digest BLOB;
