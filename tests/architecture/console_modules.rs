//! The import graph of the console's JavaScript modules, and the cycles in the graph.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

/// The modules that each module imports, by file name.
pub(crate) type ImportGraph = BTreeMap<String, BTreeSet<String>>;

/// Returns the import graph of the modules in `directory`.
pub(crate) fn import_graph(directory: &Path) -> ImportGraph {
    let paths = fs::read_dir(directory).unwrap().map(|entry| entry.unwrap().path());
    let modules = paths.filter(|path| path.extension().is_some_and(|extension| extension == "js"));
    modules
        .map(|path| {
            let name = path.file_name().unwrap().to_str().unwrap().to_owned();
            (name, imported_modules(&fs::read_to_string(&path).unwrap()))
        })
        .collect()
}

/// Returns the import cycles of `graph`: each group of modules in which every module imports every other, directly
/// or through others.
pub(crate) fn import_cycles(graph: &ImportGraph) -> BTreeSet<Vec<String>> {
    let reachable: BTreeMap<_, _> =
        graph.keys().map(|module| (module, reachable_from(graph, module))).collect();
    let cyclic = graph.keys().filter(|module| reachable[module].contains(*module));
    cyclic
        .map(|module| {
            let in_cycle = |other: &&String| {
                reachable.get(other).is_some_and(|modules| modules.contains(module))
            };
            reachable[module].iter().filter(in_cycle).cloned().collect()
        })
        .collect()
}

/// Returns every module that `start` imports, directly or through others.
fn reachable_from(graph: &ImportGraph, start: &str) -> BTreeSet<String> {
    let mut reachable = BTreeSet::new();
    let mut pending = vec![start];
    while let Some(module) = pending.pop() {
        for imported in graph.get(module).into_iter().flatten() {
            if reachable.insert(imported.clone()) {
                pending.push(imported);
            }
        }
    }
    reachable
}

/// Returns the file names in `import … from './a.js'`, `export … from './a.js'`, `import './a.js'` and
/// `import('./a.js')`.
fn imported_modules(source: &str) -> BTreeSet<String> {
    // A module imports by a relative path only, because the service serves every module from one directory.
    let parts: Vec<&str> = source.split("'./").collect();
    let pairs = parts.windows(2);
    pairs
        .filter(|pair| {
            let before = pair[0].trim_end();
            ["from", "import", "import("].iter().any(|keyword| before.ends_with(keyword))
        })
        .filter_map(|pair| pair[1].split_once('\''))
        .map(|(name, _)| name.to_owned())
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn graph_of(modules: &[(&str, &str)]) -> ImportGraph {
        let nodes = modules.iter();
        nodes.map(|(name, source)| ((*name).to_owned(), imported_modules(source))).collect()
    }

    #[test]
    fn a_planted_cycle_is_found_through_a_dynamic_import() {
        let graph = graph_of(&[
            ("app.js", "import { a } from './router.js';"),
            ("router.js", "const load = () => import('./page.js');"),
            ("page.js", "import {\n  b,\n} from './links.js';\n"),
            ("links.js", "import { c } from './router.js';\nimport './dom.js';"),
            ("dom.js", "export const text = './router.js';"),
        ]);
        let cycle = ["links.js", "page.js", "router.js"].map(str::to_owned);
        assert_eq!(import_cycles(&graph), BTreeSet::from([cycle.to_vec()]));
    }

    #[test]
    fn separate_cycles_and_a_module_that_imports_itself_are_told_apart() {
        let graph = graph_of(&[
            ("a.js", "import { b } from './b.js';"),
            ("b.js", "export { a } from './a.js';"),
            ("c.js", "import('./c.js');"),
        ]);
        let cycles = import_cycles(&graph);
        let expected = [vec!["a.js".to_owned(), "b.js".to_owned()], vec!["c.js".to_owned()]];
        assert_eq!(cycles, BTreeSet::from(expected));
    }

    #[test]
    fn a_graph_without_cycles_has_none() {
        let graph = graph_of(&[
            ("a.js", "import './b.js'; import './c.js';"),
            ("b.js", "import './c.js';"),
            ("c.js", ""),
        ]);
        assert!(import_cycles(&graph).is_empty());
    }
}
