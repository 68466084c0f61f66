"""Names that people give to files, speakers and emotions: shown on one line, sorted, safe in a table, told apart."""
import re
import unicodedata

FORMULA = re.compile(r"'*[=+\-@\t\r]")          # how a text begins that a spreadsheet would take for a formula
CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def printable(name):
    """A name on one line: control characters as \\x0a, what is no Unicode as \\udce9."""
    name = CONTROL.sub(lambda found: f"\\x{ord(found[0]):02x}", str(name))
    return name.encode("utf-8", "backslashreplace").decode()


def neutral(value):
    """A value for a table: a text that would be computed gets an apostrophe in front; see `without_apostrophe`."""
    return f"'{value}" if isinstance(value, str) and FORMULA.match(value) else value


def without_apostrophe(value):
    """What `neutral` was given."""
    return value[1:] if isinstance(value, str) and value.startswith("'") and FORMULA.match(value) else value


def in_markdown(text):
    """A text for a cell of Markdown: nothing in it is a link, a tag or the cell's end."""
    return re.sub(r"([\\`*_{}\[\]<>|#&])", r"\\\1", printable(text))


def in_order(names):
    """Different names, sorted: numbers by their value, before words."""
    return sorted(set(names), key=lambda name: (0, int(name), str(name)) if str(name).isdecimal() else
                  (1, 0, str(name)))


def composed(name):
    """A name with its accents as part of the letters (Unicode's NFC): as it is seen."""
    return unicodedata.normalize("NFC", name)


def differ_in_capitals(names):
    """The first two names that differ in capitals only, or None."""
    seen = {}
    for name in sorted(set(names)):
        if seen.setdefault(name.casefold(), name) != name:
            return seen[name.casefold()], name
    return None


def differ_in_zeros(names):
    """The first two names that are the same number, such as "01" and "1", or None."""
    seen = {}
    for name in sorted(set(names)):
        if name.isdecimal() and seen.setdefault(int(name), name) != name:
            return seen[int(name)], name
    return None
