//! Macros that declare options, and the words that some options take.

/// Declares a struct of options: a doc sentence, a name, a type, a default and a [`OptionRule`] each.
macro_rules! options {
    (
        $(#[doc = $about:literal])+
        $(#[derive($($derive:ident),+)])?
        pub struct $config:ident of $group:expr, for $verbs:expr;
        $(
            $(#[doc = $doc:literal])+
            $(#[serde($($serde:tt)*)])?
            $name:ident: $type:ty = $default:expr => $rule:expr;
        )+
    ) => {
        $(#[doc = $about])+
        #[derive(Clone, Debug, PartialEq, serde::Serialize, serde::Deserialize)]
        $(#[derive($($derive),+)])?
        #[serde(deny_unknown_fields)]
        pub struct $config {
            $(
                $(#[doc = $doc])+
                $(#[serde($($serde)*)])?
                pub $name: $type,
            )+
        }

        impl Default for $config {
            fn default() -> Self {
                Self { $($name: $default),+ }
            }
        }

        impl $crate::config::table::Config for $config {
            const OPTIONS: &'static [$crate::config::table::OptionSpec] = &[$(
                $crate::config::table::OptionSpec::new(
                    stringify!($name),
                    concat!($($doc),+),
                    $group,
                    $verbs,
                    <$type as $crate::config::table::Shaped>::SHAPE,
                    $rule,
                )
            ),+];
        }

        impl $config {
            /// Checks every value against the range of its option.
            fn check_ranges(&self) -> $crate::error::Result<()> {
                let values = [$(&self.$name as &dyn $crate::config::table::Ranged),+];
                let options = <Self as $crate::config::table::Config>::OPTIONS;
                let mut all = options.iter().zip(values);
                all.try_for_each(|(option, value)| value.check(option))
            }
        }
    };
}

/// Declares an enum whose variants have the same name in every language: a sentence, a variant and
/// a word each.
macro_rules! names {
    (
        $(#[doc = $about:literal])+
        pub enum $type:ident {
            $(
                $(#[doc = $doc:literal])+
                $variant:ident = $word:literal $(| $alias:literal)*,
            )+
        }
    ) => {
        $(#[doc = $about])+
        #[derive(
            Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash,
            serde::Serialize, serde::Deserialize,
        )]
        pub enum $type {
            $(
                $(#[doc = $doc])+
                #[serde(rename = $word $(, alias = $alias)*)]
                $variant,
            )+
        }

        impl $type {
            /// All of them, in this order.
            #[allow(dead_code)]
            pub const ALL: [Self; [$($word),+].len()] = [$(Self::$variant),+];

            /// The words.
            pub const WORDS: &'static [$crate::config::Word] = &[$(
                $crate::config::Word {
                    name: $word,
                    doc: concat!($($doc),+),
                    aliases: &[$($alias),*],
                }
            ),+];

            /// Its name, the same in every language.
            #[allow(dead_code)]
            pub fn name(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }
    };
}

/// Declares an enum of words ([`names`]) that an option can take.
macro_rules! words {
    (
        $(#[doc = $about:literal])+
        pub enum $type:ident { $($variants:tt)+ }
    ) => {
        $crate::config::declare::names! {
            $(#[doc = $about])+
            pub enum $type { $($variants)+ }
        }

        impl $crate::config::table::Shaped for $type {
            const SHAPE: $crate::config::table::Shape =
                $crate::config::table::plain($crate::config::table::ValueType::Words(Self::WORDS));
        }

        impl $crate::config::table::Ranged for $type {
            fn check(&self, _: &$crate::config::table::OptionSpec) -> $crate::error::Result<()> {
                Ok(())
            }
        }
    };
}

pub(crate) use names;
pub(super) use {options, words};
