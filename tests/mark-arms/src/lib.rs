//! Modules of the operator, compiled again into a test so that the test can count which arms of their matches it takes. The operator itself stays as it
//! is, and an arm that is added to it is known here at once.

use std::path::{Path, PathBuf};

use proc_macro2::TokenStream;
use quote::{ToTokens, quote};
use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::visit_mut::{VisitMut, visit_arm_mut};
use syn::{
    Arm, Attribute, Error, Ident, Item, ItemMod, LitStr, ReturnType, Signature, Token, Type, parse_quote,
};

/// `modules!(A, B; "src/x.rs", "src/y.rs")` becomes `mod x` and `mod y` with the content of those files of the package, without their tests. Every arm of a
/// match in a function that returns an `A` or a `B` is marked. To be called in `mod session`, as which the files know themselves. `mod arms` names the
/// marked arms in `NAMES`; `take` returns which of them this thread has taken since it was last called, the first in the lowest bit.
#[proc_macro]
pub fn modules(input: proc_macro::TokenStream) -> proc_macro::TokenStream {
    let expanded = syn::parse(input).and_then(|input: Input| input.expand());
    expanded.unwrap_or_else(Error::into_compile_error).into()
}

struct Input {
    types: Punctuated<Type, Token![,]>,
    files: Punctuated<LitStr, Token![,]>,
}

impl Parse for Input {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let types = Punctuated::parse_separated_nonempty(input)?;
        input.parse::<Token![;]>()?;
        Ok(Self { types, files: Punctuated::parse_terminated(input)? })
    }
}

impl Input {
    fn expand(self) -> syn::Result<TokenStream> {
        let package =
            std::env::var("CARGO_MANIFEST_DIR").map_err(|error| Error::new_spanned(&self.files, error))?;
        let mut marker = Marker {
            types: self.types.iter().map(|marked| marked.to_token_stream().to_string()).collect(),
            function: None,
            names: Vec::new(),
            sources: Vec::new(),
        };
        let mut modules = Vec::new();
        for file in &self.files {
            let path = Path::new(&package).join(file.value());
            let name = path.file_stem().map(|stem| stem.to_string_lossy().into_owned()).unwrap_or_default();
            let name = Ident::new(&name, file.span());
            let items = marker.read(&path, file)?;
            modules.push(quote! {
                #[allow(dead_code, unreachable_pub, unused_imports, clippy::all, clippy::pedantic)]
                pub mod #name { #(#items)* }
            });
        }
        let (names, sources) = (marker.names, marker.sources);
        if names.is_empty() || names.len() > 128 {
            return Err(Error::new_spanned(
                &self.files,
                format!("{} arms to be marked, of 1 to 128", names.len()),
            ));
        }
        Ok(quote! {
            #(#modules)*

            /// Which arms were taken.
            pub mod arms {
                /// The source, so that a change of it is noticed.
                const _: &[&str] = &[#(include_str!(#sources)),*];

                /// The marked arms: function, pattern and guard.
                pub const NAMES: &[&str] = &[#(#names),*];

                thread_local! {
                    static TAKEN: std::cell::Cell<u128> = const { std::cell::Cell::new(0) };
                }

                pub(in crate::session) fn taken(number: usize) {
                    TAKEN.set(TAKEN.get() | 1 << number);
                }

                pub fn take() -> u128 {
                    TAKEN.take()
                }
            }
        })
    }
}

struct Marker {
    types: Vec<String>,
    /// The function of the marked kind that is being visited.
    function: Option<Ident>,
    names: Vec<String>,
    sources: Vec<String>,
}

impl Marker {
    /// The items of the file at `path`, marked.
    fn read(&mut self, path: &Path, at: &LitStr) -> syn::Result<Vec<Item>> {
        let error =
            |error: &dyn std::fmt::Display| Error::new_spanned(at, format!("{}: {error}", path.display()));
        let source = std::fs::read_to_string(path).map_err(|failure| error(&failure))?;
        let file = syn::parse_file(&source).map_err(|failure| error(&failure))?;
        self.sources.push(path.display().to_string());
        let mut items = Vec::new();
        for mut item in file.items {
            if let Item::Mod(module) = &mut item {
                if module.attrs.iter().any(is_test) {
                    continue;
                }
                self.fill(module, &path.with_extension(""), at)?;
            } else {
                self.visit_item_mut(&mut item);
            }
            items.push(item);
        }
        Ok(items)
    }

    /// Reads the module into its place if it stands in a file of its own in `folder`.
    fn fill(&mut self, module: &mut ItemMod, folder: &Path, at: &LitStr) -> syn::Result<()> {
        if module.content.is_none() {
            let path: PathBuf = folder.join(format!("{}.rs", module.ident));
            module.content = Some((syn::token::Brace::default(), self.read(&path, at)?));
            module.semi = None;
        }
        Ok(())
    }

    fn is_marked(&self, signature: &Signature) -> bool {
        match &signature.output {
            ReturnType::Type(_, type_) => self.types.contains(&type_.to_token_stream().to_string()),
            ReturnType::Default => false,
        }
    }

    fn within(&mut self, signature: &Signature, visit: impl FnOnce(&mut Self)) {
        let outer = self.function.clone();
        self.function = self.is_marked(signature).then(|| signature.ident.clone());
        visit(self);
        self.function = outer;
    }
}

impl VisitMut for Marker {
    fn visit_item_fn_mut(&mut self, function: &mut syn::ItemFn) {
        let signature = function.sig.clone();
        self.within(&signature, |marker| syn::visit_mut::visit_item_fn_mut(marker, function));
    }

    fn visit_impl_item_fn_mut(&mut self, function: &mut syn::ImplItemFn) {
        let signature = function.sig.clone();
        self.within(&signature, |marker| syn::visit_mut::visit_impl_item_fn_mut(marker, function));
    }

    fn visit_arm_mut(&mut self, arm: &mut Arm) {
        if let Some(function) = &self.function {
            let guard = arm
                .guard
                .as_ref()
                .map(|(_, guard)| format!(" if {}", guard.to_token_stream()))
                .unwrap_or_default();
            let number = self.names.len();
            self.names.push(format!("{function}: {}{guard}", arm.pat.to_token_stream()));
            let body = &arm.body;
            arm.body = parse_quote!({
                crate::session::arms::taken(#number);
                #body
            });
        }
        visit_arm_mut(self, arm);
    }
}

/// Whether an attribute is `#[cfg(test)]`.
fn is_test(attribute: &Attribute) -> bool {
    attribute.path().is_ident("cfg")
        && attribute.parse_args::<Ident>().is_ok_and(|condition| condition == "test")
}
