//! The import graph of the crate: an edge from each file to every file of which it uses an item. Re-exports are
//! followed to the file that defines the item, so a facade in a `mod.rs` is no dependency of its own.

use std::collections::{BTreeMap, BTreeSet};

use proc_macro2::{Delimiter, TokenTree};

use crate::source::{Source, inner, is, is_punct};

/// The names of a path, from the crate's root: `["settings", "store"]`.
type Path = Vec<String>;

/// Edges by file.
pub(crate) type Graph = BTreeMap<String, BTreeSet<String>>;

/// One file and the names that its `use` items bring into scope.
struct Module<'a> {
    source: &'a Source,
    imports: BTreeMap<String, Path>,
    /// `use a::*`: the paths of `a`.
    globs: Vec<Path>,
}

/// Builds the graph of `sources`, the files below `src/`. Unit tests are left out.
pub(crate) fn graph(sources: &[Source]) -> Graph {
    let files: BTreeMap<Path, &Source> = sources
        .iter()
        .filter(|source| !source.is_test())
        .map(|source| (path_of(source), source))
        .collect();
    let modules: BTreeMap<Path, Module<'_>> =
        files.iter().map(|(path, source)| (path.clone(), module(path, source, &files))).collect();
    modules
        .iter()
        .map(|(path, module)| (module.source.path.clone(), edges(path, module, &modules)))
        .collect()
}

/// Returns the groups of files that import each other, directly or over others, each sorted.
pub(crate) fn circles(graph: &Graph) -> Vec<Vec<String>> {
    let reached: BTreeMap<&String, BTreeSet<&String>> =
        graph.keys().map(|file| (file, reachable(graph, file))).collect();
    let mut circles: BTreeSet<Vec<String>> = BTreeSet::new();
    for (file, others) in &reached {
        if !others.contains(file) {
            continue;
        }
        let mutual = others
            .iter()
            .filter(|other| reached.get(*other).is_some_and(|back| back.contains(file)));
        circles.insert(mutual.map(|other| (*other).clone()).collect());
    }
    circles.into_iter().collect()
}

/// Lists the circles, one on each line.
pub(crate) fn list(circles: &[Vec<String>]) -> String {
    circles.iter().map(|files| files.join(", ")).collect::<Vec<_>>().join("\n")
}

/// Every file that `file` depends on; itself only if a circle leads back.
fn reachable<'g>(graph: &'g Graph, file: &String) -> BTreeSet<&'g String> {
    let mut reached = BTreeSet::new();
    let mut open: Vec<&String> = graph.get(file).into_iter().flatten().collect();
    while let Some(next) = open.pop() {
        if reached.insert(next) {
            open.extend(graph.get(next).into_iter().flatten());
        }
    }
    reached
}

/// The module path of a file: `src/settings/store.rs` is `["settings", "store"]`, `src/lib.rs` is empty.
fn path_of(source: &Source) -> Path {
    let inside = source.path.strip_prefix("src/").unwrap_or(&source.path);
    let inside = inside.trim_end_matches(".rs");
    let inside = inside.strip_suffix("/mod").unwrap_or(inside);
    if matches!(inside, "lib" | "main") {
        return Path::new();
    }
    inside.split('/').map(str::to_owned).collect()
}

fn module<'a>(path: &Path, source: &'a Source, files: &BTreeMap<Path, &Source>) -> Module<'a> {
    let mut module = Module { source, imports: BTreeMap::new(), globs: Vec::new() };
    for level in source.levels() {
        let mut tokens = level.as_slice();
        while let Some(start) = tokens.iter().position(|token| is(token, "use")) {
            let rest = &tokens[start + 1..];
            let end = rest.iter().position(|token| is_punct(token, ';')).unwrap_or(rest.len());
            read_use(&rest[..end], &Path::new(), &mut |segments, name| {
                let Some(absolute) = absolute(path, &segments, files, None) else { return };
                match name.as_str() {
                    "*" => module.globs.push(absolute),
                    _ => {
                        module.imports.insert(name, absolute);
                    }
                }
            });
            tokens = &rest[end..];
        }
    }
    module
}

/// Calls `add` with the path and the local name of each leaf of a `use` tree.
fn read_use(tree: &[TokenTree], prefix: &Path, add: &mut impl FnMut(Path, String)) {
    let mut segments = prefix.clone();
    let mut tokens = tree.iter();
    while let Some(token) = tokens.next() {
        match token {
            TokenTree::Ident(word) if word == "as" => {
                let alias = tokens.next().map(ToString::to_string).unwrap_or_default();
                return add(segments, alias);
            }
            TokenTree::Ident(word) => segments.push(word.to_string()),
            TokenTree::Punct(star) if star.as_char() == '*' => {
                return add(segments, "*".to_owned());
            }
            TokenTree::Group(group) if group.delimiter() == Delimiter::Brace => {
                let items = inner(group);
                return items
                    .split(|item| is_punct(item, ','))
                    .for_each(|item| read_use(item, &segments, add));
            }
            _ => (),
        }
    }
    if segments.last().is_some_and(|last| last == "self") {
        segments.pop();
    }
    if let Some(name) = segments.last().cloned() {
        add(segments, name);
    }
}

/// The path from the crate's root that `segments` mean in the module `here`; none for those of other crates.
fn absolute(
    here: &Path,
    segments: &[String],
    files: &BTreeMap<Path, &Source>,
    imports: Option<&BTreeMap<String, Path>>,
) -> Option<Path> {
    let (first, rest) = segments.split_first()?;
    match first.as_str() {
        "crate" => Some(rest.to_vec()),
        "self" => Some([here.as_slice(), rest].concat()),
        "super" => {
            let (_, parent) = here.split_last()?;
            let parent = parent.to_vec();
            if rest.first().is_some_and(|next| next == "super") {
                return absolute(&parent, rest, files, None);
            }
            Some([parent.as_slice(), rest].concat())
        }
        name => {
            if let Some(path) = imports.and_then(|imports| imports.get(name)) {
                return Some([path.as_slice(), rest].concat());
            }
            let child = [here.as_slice(), std::slice::from_ref(first)].concat();
            files.contains_key(&child).then(|| [child.as_slice(), rest].concat())
        }
    }
}

/// Every file that the module `path` uses an item of.
fn edges(
    path: &Path,
    module: &Module<'_>,
    modules: &BTreeMap<Path, Module<'_>>,
) -> BTreeSet<String> {
    let files: BTreeMap<Path, &Source> =
        modules.iter().map(|(path, module)| (path.clone(), module.source)).collect();
    let mut used: Vec<Path> = module.globs.clone();
    for level in module.source.levels() {
        let declared = without_reexports(&level);
        for segments in paths(&declared) {
            used.extend(absolute(path, &segments, &files, Some(&module.imports)));
        }
    }
    // A name that was imported is used somewhere, or the compiler would say so; one that is re-exported is not.
    let reexported = reexported(module.source);
    let imported = module.imports.iter().filter(|(name, _)| !reexported.contains(*name));
    used.extend(imported.map(|(_, path)| path.clone()));
    let targets = used.iter().filter_map(|path| target(path, modules, 0));
    targets
        .filter(|file| *file != module.source.path && !is_own_room(&module.source.path, file))
        .collect()
}

/// Whether `target` is the `mod.rs` of a folder that `file` stands in. A room and its `mod.rs` are one: the types
/// that all its files share stand there, and the files are used there.
fn is_own_room(file: &str, target: &str) -> bool {
    target.strip_suffix("mod.rs").is_some_and(|folder| file.starts_with(folder))
}

/// The file that defines what `path` leads to; none if that is a module as such.
fn target(path: &[String], modules: &BTreeMap<Path, Module<'_>>, depth: usize) -> Option<String> {
    // Re-exports of re-exports end somewhere; a circle of globs would not.
    if depth > 8 {
        return None;
    }
    let known = (0..=path.len()).rev().find(|length| modules.contains_key(&path[..*length]))?;
    let module = &modules[&path[..known]];
    let (name, rest) = path[known..].split_first()?;
    if let Some(original) = module.imports.get(name) {
        return target(&[original.as_slice(), rest].concat(), modules, depth + 1);
    }
    let defines = |module: &Module<'_>| {
        module.source.definitions().iter().any(|(_, defined)| defined == name)
    };
    if !defines(module) {
        for glob in &module.globs {
            let through = [glob.as_slice(), &path[known..]].concat();
            let found = target(&through, modules, depth + 1);
            let is_there = |file: &String| {
                modules.values().any(|other| other.source.path == *file && defines(other))
            };
            if let Some(file) = found.filter(is_there) {
                return Some(file);
            }
        }
    }
    Some(module.source.path.clone())
}

/// The names of `pub use` and `pub(…) use` items.
fn reexported(source: &Source) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    for level in source.levels() {
        for at in 0..level.len() {
            if !is(&level[at], "use") || !is_public(&level, at) {
                continue;
            }
            let item: Vec<_> =
                level[at + 1..].iter().take_while(|token| !is_punct(token, ';')).cloned().collect();
            read_use(&item, &Path::new(), &mut |_, name| {
                names.insert(name);
            });
        }
    }
    names
}

fn is_public(level: &[TokenTree], at: usize) -> bool {
    let before = |back: usize| at.checked_sub(back).and_then(|at| level.get(at));
    let group = matches!(before(1), Some(TokenTree::Group(_)));
    before(if group { 2 } else { 1 }).is_some_and(|token| is(token, "pub"))
}

/// The tokens without `use` items: their paths are known already.
fn without_reexports(level: &[TokenTree]) -> Vec<TokenTree> {
    let mut kept = Vec::new();
    let mut tokens = level.iter();
    while let Some(token) = tokens.next() {
        if is(token, "use") {
            tokens.by_ref().find(|token| is_punct(token, ';'));
        } else {
            kept.push(token.clone());
        }
    }
    kept
}

/// Every path of two names or more: `a::b`, `crate::a::b`.
fn paths(level: &[TokenTree]) -> Vec<Path> {
    let mut paths = Vec::new();
    let mut at = 0;
    while at < level.len() {
        let TokenTree::Ident(first) = &level[at] else {
            at += 1;
            continue;
        };
        let mut segments = vec![first.to_string()];
        at += 1;
        while let [TokenTree::Punct(one), TokenTree::Punct(two), TokenTree::Ident(next), ..] =
            &level[at..]
        {
            if one.as_char() != ':' || two.as_char() != ':' {
                break;
            }
            segments.push(next.to_string());
            at += 3;
        }
        if segments.len() > 1 {
            paths.push(segments);
        }
    }
    paths
}

#[test]
fn files_that_import_each_other_are_found() {
    let graph_of = |files: &[(&str, &str)]| {
        let sources: Vec<_> = files.iter().map(|(path, text)| Source::of(path, text)).collect();
        graph(&sources)
    };
    let found = |files: &[(&str, &str)]| circles(&graph_of(files)).len();
    let room = ("src/a/mod.rs", "mod x; mod y; pub use x::X; pub use y::Y; struct Shared;");
    let x = ("src/a/x.rs", "use super::{Shared, Y}; struct X;");
    // A re-export is followed to the file that defines the item.
    assert_eq!(found(&[room, x, ("src/a/y.rs", "use crate::a::X; struct Y;")]), 1);
    assert_eq!(found(&[room, x, ("src/a/y.rs", "struct Y; fn f() { super::x::g() }")]), 1);
    assert_eq!(found(&[room, x, ("src/a/y.rs", "use crate::a; struct Y; fn f(_: a::X) {}")]), 1);
    // The items of the own `mod.rs` are those of the room, and unit tests are no part of it.
    assert_eq!(found(&[room, x, ("src/a/y.rs", "use super::Shared; struct Y;")]), 0);
    let tested = "struct Y; #[cfg(test)] mod tests { use crate::a::X; }";
    assert_eq!(found(&[room, x, ("src/a/y.rs", tested)]), 0);
}
