//! The two macros that turn what is written once into structs, readers and documentation.

/// Makes the section structs, `Config`, `SETTINGS` and `SECTIONS` out of the table. An empty
/// default means "not set" (or an empty list). `at` says where a section stands in the file. What a section holds besides its settings stands
/// beside its name and is read by hand.
macro_rules! settings {
    (@doc $doc:literal, $default:literal, $rule:expr) => {
        concat!($doc, " Default: `", $default, "`. Rule: `", stringify!($rule), "`.")
    };
    (@row $doc:literal, $default:literal, $rule:expr, [$($alias:literal),*],
        $key:expr, $first:ident $(.$rest:ident)?) => {
        Setting {
            key: $key,
            default: $default, doc: $doc, rule: $rule, aliases: &[$($alias),*],
            set: |config, raw| config.$first$(.$rest)?.set(raw),
            show: |config| config.$first$(.$rest)?.show(),
        }
    };
    (
        $(#[doc = $tdoc:literal] $top:ident: $tty:ty = $tdef:literal, $trule:expr;)*
        $([$section:ident: $Section:ident at $path:literal $(, $(#[doc = $xdoc:literal])+ $extra:ident: $xty:ty)?]
            $(#[doc = $doc:literal]
            $field:ident: $ty:ty = $def:literal, $rule:expr $(, $alias:literal)*;)*
        )*
    ) => {
        $(
            #[doc = concat!("The settings below `", $path, ":`.")]
            #[derive(Clone, Debug)]
            pub struct $Section {
                $(#[doc = settings!(@doc $doc, $def, $rule)] pub $field: $ty,)*
                $($(#[doc = $xdoc])+ pub $extra: $xty,)?
            }
        )*

        /// All settings, checked. `Config::default()` holds the defaults of the table.
        #[derive(Clone, Debug)]
        pub struct Config {
            $(#[doc = settings!(@doc $tdoc, $tdef, $trule)] pub $top: $tty,)*
            $(#[doc = concat!("The settings below `", $path, ":`.")]
            pub $section: $Section,)*
            /// Where each setting that is no default came from.
            origins: BTreeMap<&'static str, String>,
        }

        impl Config {
            /// Empty values of each type; no one outside sees them before the defaults are in.
            fn blank() -> Self {
                Self {
                    $($top: Default::default(),)*
                    $($section: $Section {
                        $($field: Default::default(),)*
                        $($extra: Default::default(),)?
                    },)*
                    origins: BTreeMap::new(),
                }
            }
        }

        const SECTIONS: &[&str] = &[$($path),*];

        /// Every setting, in the order of the documentation.
        pub const SETTINGS: &[Setting] = &[
            $(settings!(@row $tdoc, $tdef, $trule, [], stringify!($top), $top),)*
            $($(settings!(
                @row $doc, $def, $rule, [$($alias),*],
                concat!($path, ".", stringify!($field)), $section.$field
            ),)*)*
        ];
    };
}

/// Makes an enum of words, the first of them its default, and its reader.
macro_rules! choice {
    ($(#[$about:meta])* $Name:ident {
        $($(#[$meta:meta])* $Variant:ident = $word:literal,)*
    }) => {
        $(#[$about])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
        pub enum $Name { $($(#[$meta])* $Variant,)* }

        impl $Name {
            const NAMES: &'static [&'static str] = &[$($word),*];
        }

        impl Field for $Name {
            fn read(raw: &Raw) -> Result<Self, ConfigError> {
                match raw.text().trim() {
                    $($word => Ok(Self::$Variant),)*
                    other => Err(raw.is(other)),
                }
            }

            fn show(&self) -> String {
                match self { $(Self::$Variant => $word,)* }.into()
            }
        }
    };
}
