"""Identity of code: a hash of what a function or class *does*, so that results made by other code are redone.

    code_hash("model:cnn1d")        hash of model.cnn1d and of all that it uses from this project, near and far

What cannot change a number does not count: docstrings, comments, layout, the text of errors (`raise`) and of `print`,
the names of functions and constants, and whatever the function does not use. Code of other packages does not count
either; versions of packages are recorded by whoever needs them.
"""
import ast
import functools
from pathlib import Path

from ser.files import hash_json
from ser.settings import PROJECT

NO_EFFECT = ("ctx", "type_comment", "returns", "type_params")      # fields of a syntax tree


def code_hash(*names, skip=(), root=PROJECT):
    """Hash (16 hex digits) of functions, classes or constants, each "module:name", of the project in folder `root`.

    skip : definitions that stand for nothing but their name, such as a table of which one row is used
    """
    hasher = Hasher(Path(root), {tuple(name.split(":")) for name in skip})
    hashes = {name: hasher.definition(*name.split(":"), ()) for name in names}
    missing = [name for name, found in hashes.items() if found is None]
    if missing:
        raise LookupError(f"{missing[0]}: no such definition in the project")
    return hash_json(list(hashes.values()))


class Module:
    """Source of a module: {name: syntax tree} of its definitions, {name: (module, its name there)} of its imports,
    and its other statements, which may change what the definitions do."""
    def __init__(self, path):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        self.definitions, self.imports, self.others = {}, {}, []
        for node in tree.body:
            if isinstance(node, ast.FunctionDef | ast.ClassDef):
                self.definitions[node.name] = node
            elif isinstance(node, ast.Assign | ast.AnnAssign) and node.value:
                for target in node.targets if isinstance(node, ast.Assign) else [node.target]:
                    self.add_constants(target, node.value, node)
            elif not isinstance(node, ast.Import | ast.ImportFrom) and not is_main_block(node):
                self.others.append(node)
        for node in ast.walk(tree):
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self.add_import(alias.asname or alias.name.split(".")[0], (alias.name, None))
            elif isinstance(node, ast.ImportFrom) and node.module:
                for alias in node.names:
                    self.add_import(alias.asname or alias.name, (node.module, alias.name))

    def add_import(self, name, origin):
        """An import anywhere in the module; one name for two of this project's modules could not be told apart."""
        if self.imports.setdefault(name, origin) != origin and origin[0].split(".")[0] in ("ser", "study"):
            raise LookupError(f"{name} is imported from {origin[0]} and from {self.imports[name][0]} in one module")

    def add_constants(self, target, value, node):
        """What an assignment defines; a, b = 1, 2 defines each on its own. What it changes otherwise is a statement."""
        if isinstance(target, ast.Name) and target.id not in self.definitions:
            self.definitions[target.id] = value
        elif isinstance(target, ast.Tuple):
            apart = isinstance(value, ast.Tuple) and len(value.elts) == len(target.elts)
            for number, name in enumerate(target.elts):
                self.add_constants(name, value.elts[number] if apart else value, node)
        else:
            self.others.append(node)


@functools.cache
def read_module(path, changed):
    """The Module in a file; `changed` (its time and size) keeps a later version apart."""
    return Module(path)


class Hasher:
    """Hashes of definitions in the project's folder `root`. In each method, `above` are the (module, name) that led
    here, so that a recursion ends."""
    def __init__(self, root, skip):
        self.root, self.skip = root, skip

    def module(self, name):
        """The Module called `name`; None where the project has none, so it is another package's."""
        path = self.root.joinpath(*name.split(".")).with_suffix(".py")
        if not path.is_file():
            return None
        stat = path.stat()
        return read_module(path, (stat.st_mtime_ns, stat.st_size))

    def definition(self, module_name, name, above):
        """Hash of one definition; None where there is none to be read."""
        key = (module_name, name)
        if key in above:
            return f"recursion {len(above) - above.index(key)}"
        if key in self.skip:
            return f"{module_name}.{name}"
        module = self.module(module_name)
        if module is None:
            return None
        if name not in module.definitions:                          # handed on from elsewhere, perhaps
            return self.reference(module.imports[name], None, above) if name in module.imports else None
        above = (*above, key)
        return hash_json([self.outline(module.definitions[name], module_name, module, above),
                          self.outline(module.others, module_name, module, above)])

    def reference(self, origin, attribute, above):
        """Hash of what an imported name, or `attribute` of it, stands for; None where it is not this project's."""
        source, name = origin
        if name is not None and self.module(source):                # from module import name
            return self.definition(source, name, above)
        inner = source if name is None else f"{source}.{name}"      # import module; from package import module
        if attribute is not None and self.module(inner):
            return self.definition(inner, attribute, above)
        return None

    def outline(self, node, module_name, module, above):
        """A syntax tree as nested lists, without what cannot change a number; this project's definitions as hashes."""
        if isinstance(node, list):
            return [self.outline(child, module_name, module, above) for child in node if not is_text_only(child)]
        if not isinstance(node, ast.AST):
            return repr(node)
        if isinstance(node, ast.Raise):
            return ["Raise"]
        if isinstance(node, ast.Name) and node.id in module.definitions:
            return self.definition(module_name, node.id, above)
        if isinstance(node, ast.Name) and node.id in module.imports:
            origin = module.imports[node.id]
            return self.reference(origin, None, above) or list(map(str, origin))
        if isinstance(node, ast.Attribute) and isinstance(node.value, ast.Name) and node.value.id in module.imports:
            found = self.reference(module.imports[node.value.id], node.attr, above)
            if found:
                return found
        fields = {name: value for name, value in ast.iter_fields(node) if name not in NO_EFFECT}
        if node is module.definitions.get(above[-1][1]):
            fields.pop("name", None)                                # a renamed function does the same
        return [type(node).__name__, *(self.outline(value, module_name, module, above) for value in fields.values())]


def is_main_block(node):
    """Whether a statement is `if __name__ == "__main__":`, which an import does not run."""
    return isinstance(node, ast.If) and "__name__" in ast.unparse(node.test)


def is_text_only(node):
    """Whether a statement is a docstring, or prints."""
    if not isinstance(node, ast.Expr):
        return False
    value = node.value
    return isinstance(value, ast.Constant) and isinstance(value.value, str) or isinstance(value, ast.Call) and (
        isinstance(value.func, ast.Name) and value.func.id == "print")
