"""The README and docs/: short sentences, links that lead somewhere, keys, paths and names that exist."""

import ast
import functools
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).parents[2]
PACKAGE = ROOT / "workflow" / "mirrorflow"
GENERATED = {"config_reference.md", "reruns.md", "changelog.md", "what_is_checked.md"}
"""Pages that include a file written elsewhere, or are written from the code."""
PAGES = [ROOT / "README.md", *sorted(path for path in (ROOT / "docs").glob("*.md") if path.name not in GENERATED)]
LINKED = [*PAGES, ROOT / "CONTRIBUTING.md", ROOT / "CHANGELOG.md"]
LONGEST, MEAN = 40, 18
"""Words of a sentence: the most, and the mean of a page."""
README_LINES = 120

FENCE = re.compile(r"^(?P<fence>```+)(?P<language>\w*)[^\n]*\n(?P<text>.*?)^(?P=fence)$", re.MULTILINE | re.DOTALL)
CODE = re.compile(r"`([^`\n]+)`")
LINK = re.compile(r"!?\[(?P<text>[^\]]*)\]\((?P<target>[^)\s]+)\)")
LIST_ITEM = re.compile(r"^\s*(?:[-*]|\d+\.)\s+")
SENTENCE_END = re.compile(r"(?<=[.!?])(?<!\bal\.)(?<!\bEq\.)(?<!\bSec\.)[*_)\"]*\s+")
SUFFIXES = {
    "yaml", "tsv", "csv", "py", "json", "md", "html", "parquet", "h5", "smk", "svg", "safetensors", "lock", "toml",
}  # fmt: skip


def names(paths: list[Path]) -> list[str]:
    return [str(path.relative_to(ROOT)) for path in paths]


def without_code_blocks(path: Path) -> str:
    return FENCE.sub("\n", path.read_text())


def blocks(path: Path, *languages: str) -> list[str]:
    """Code blocks in one of these languages."""
    return [match["text"] for match in FENCE.finditer(path.read_text()) if match["language"] in languages]


def spans(path: Path) -> list[str]:
    """What stands in backticks, outside code blocks."""
    return CODE.findall(without_code_blocks(path))


def paragraphs(text: str) -> Iterator[str]:
    """Running text: a paragraph or an item of a list at a time, without headings, tables and admonitions' heads."""
    lines: list[str] = []
    for line in [*text.splitlines(), ""]:
        starts = not line.strip() or line.startswith(("#", "|", "---", "<", "!!!")) or LIST_ITEM.match(line)
        if starts and lines:
            yield " ".join(lines)
            lines = []
        if line.strip() and not line.startswith(("#", "|", "---", "<", "!!!")):
            lines.append(LIST_ITEM.sub("", line).strip())


def sentences(text: str) -> Iterator[str]:
    """Sentences of Markdown's running text; what stands in backticks is one word."""
    for paragraph in paragraphs(text):
        plain = LINK.sub(lambda match: match["text"], CODE.sub("code", paragraph)).replace("**", "")
        yield from (part for part in SENTENCE_END.split(plain) if part.strip())


def count_words(sentence: str) -> int:
    return sum(1 for word in sentence.split() if re.search(r"\w", word))


def test_sentences_are_counted_as_a_reader_would() -> None:
    text = "# A head\n\nOne two, `a b c` four. See [a page](x.md) of Wu et al. 2024!\n\n"
    text += "| a | b. |\n\n- An item\n- Two\n  words\n"
    assert [count_words(sentence) for sentence in sentences(text)] == [4, 8, 2, 2]
    assert list(sentences("")) == []


@pytest.mark.parametrize("name", names([*PAGES, ROOT / "CONTRIBUTING.md"]))
def test_sentences_are_short(name: str) -> None:
    lengths = {sentence: count_words(sentence) for sentence in sentences(without_code_blocks(ROOT / name))}
    assert [f"{words} words: {sentence}" for sentence, words in lengths.items() if words > LONGEST] == []
    mean = sum(lengths.values()) / max(len(lengths), 1)
    assert mean <= MEAN, f"{mean:.1f} words a sentence in the mean"


def test_the_readme_is_short_and_shows_the_report() -> None:
    text = (ROOT / "README.md").read_text()
    assert len(text.splitlines()) <= README_LINES
    pictures = re.findall(r"!\[[^\]]+\]\((docs/images/[^)]+\.png)\)", text)
    assert pictures
    assert all((ROOT / picture).stat().st_size <= 400_000 for picture in pictures)


def anchors(path: Path) -> set[str]:
    """Anchors of a page's headings, as GitHub and mkdocs make them."""
    heads = re.findall(r"^#+ (.+)$", FENCE.sub("", path.read_text()), re.MULTILINE)
    plain = [re.sub(r"[^\w\- ]", "", LINK.sub(lambda match: match["text"], head).lower()) for head in heads]
    return {re.sub(r"\s+", "-", head.strip()) for head in plain}


@pytest.mark.parametrize("name", names(LINKED))
def test_links_lead_somewhere(name: str) -> None:
    page = ROOT / name
    for match in LINK.finditer(without_code_blocks(page)):
        target, _, anchor = match["target"].partition("#")
        if re.match(r"[a-z]+:", target):
            continue
        there = (page.parent / target).resolve() if target else page
        assert there.is_relative_to(ROOT), match[0]
        assert there.exists(), match[0]
        assert not anchor or anchor in anchors(there), match[0]


def test_every_page_is_in_the_navigation_and_the_navigation_has_no_other() -> None:
    def files(entry: Any) -> Iterator[str]:
        for value in entry.values() if isinstance(entry, dict) else [entry]:
            yield from (name for item in value for name in files(item)) if isinstance(value, list) else [value]

    text = (ROOT / "mkdocs.yml").read_text()
    listed = [name for entry in yaml.safe_load(text)["nav"] for name in files(entry)]
    assert sorted(listed) == sorted(path.name for path in (ROOT / "docs").glob("*.md"))


# Keys of the config.


PARTIAL = {"methods.<name>.selection": "expression.selection", "methods.<name>.pretrain": "pretrain"}
"""Keys that take any key of another section."""


@functools.cache
def known_keys() -> frozenset[str]:
    """Dotted keys of the config's schema and the groups they stand in, `<name>` for a name of the user's.

    From the generated reference (test_config_reference.py holds it equal to the schema): no module is named here.
    """
    text = (ROOT / "config" / "README.md").read_text()
    first, _, last = text.partition("## Protocol presets")
    keys = set(re.findall(r"^\| `([^`]+)` \|", first, re.MULTILINE))
    keys |= set(re.findall(r"^\| `(methods\.[^`]+)` \|", last, re.MULTILINE))
    for place, section in PARTIAL.items():
        keys |= {place + key.removeprefix(section) for key in keys if key.startswith(f"{section}.")}
    return frozenset(key.rsplit(".", cut)[0] for key in keys for cut in range(key.count(".") + 1))


def is_key(dotted: str) -> bool:
    """Whether a dotted path is a key of the config; a name of the user's may stand for itself or be in brackets."""
    patterns = (re.escape(key).replace("<name>", r"[^.]+") for key in known_keys())
    return any(re.fullmatch(rf"{pattern}(\.download)?", dotted) for pattern in patterns)  # a data set's name


def sections() -> set[str]:
    return {key.split(".")[0] for key in known_keys()}


def test_keys_are_told_from_what_is_no_key() -> None:
    for key in ("splits.folds", "cohorts.brca.slides.gdc.keep", "protocols.<name>.epoch", "methods.abmil.train.epochs"):
        assert is_key(key), key
    assert is_key("methods.mirror.selection.n_genes")
    assert is_key("methods.mirror.selection.gene_sets.download")
    for key in ("splits.fold", "cohorts.brca.gdc", "methods.abmil.train.steps", "protocol"):
        assert not is_key(key), key


@pytest.mark.parametrize("name", names(PAGES))
def test_config_keys_exist(name: str) -> None:
    for span in spans(ROOT / name):
        dotted = span.rstrip(":")
        parts = dotted.split(".")
        if not re.fullmatch(r"[a-z_]+(\.[A-Za-z0-9_<>-]+)+", dotted) or parts[-1] in SUFFIXES:
            continue
        if parts[0] in sections():
            assert is_key(dotted), f"{span}: no key of the config"


def leaves(value: Any, prefix: str = "") -> Iterator[str]:
    if isinstance(value, dict) and value:
        for key, child in value.items():
            yield from leaves(child, f"{prefix}.{key}".removeprefix("."))
    else:
        yield prefix


FREE = ("classes", "columns", "features", "splits")
"""Keys of a cohort below which names are the user's."""


@pytest.mark.parametrize("name", names(PAGES))
def test_examples_of_the_config_have_keys_that_exist(name: str) -> None:
    for text in blocks(ROOT / name, "yaml"):
        values = yaml.safe_load(text)
        if not set(values) <= sections():
            continue  # an entry of config/methods.yaml, say
        for leaf in leaves(values):
            parts = leaf.split(".")
            cut = next((at for at, part in enumerate(parts) if parts[0] == "cohorts" and at > 1 and part in FREE), None)
            cut = 1 if parts[:2] == ["features", "saw"] else cut
            dotted = ".".join(parts[: cut + 1] if cut else parts)
            assert is_key(dotted), f"{leaf}: no key of the config"


# Paths of the repository.

TOP = {path.name for path in ROOT.iterdir() if path.is_dir() and not path.name.startswith(".")} - {
    "results", "store", "logs", "site",
}  # fmt: skip
AWAITED = {
    "workflow/mirrorflow/models/mean_mlp.py",
    "probes/nearest.py",
}  # fmt: skip
"""The examples of docs/adding_a_method.md."""


def repository_path(span: str) -> str | None:
    """The path that a span names, placeholders as wildcards; None where it names none of ours."""
    path = re.sub(r"<[^>]+>", "*", span.removesuffix("/"))
    if not re.fullmatch(r"[\w.*/-]+", path):
        return None
    first = path.split("/")[0]
    return path if ("/" in path and first in TOP) or ("/" in path and path.endswith(".py")) else None


@pytest.mark.parametrize("name", names([*PAGES, ROOT / "CONTRIBUTING.md"]))
def test_paths_exist(name: str) -> None:
    for span in spans(ROOT / name):
        path = repository_path(span)
        if path is None or path in AWAITED:
            continue
        assert any(ROOT.glob(path)) or any(PACKAGE.glob(path)), f"{span}: not there"


def test_the_architecture_has_every_room() -> None:
    table = (ROOT / "docs" / "architecture.md").read_text().split("## Rooms")[1].split("\n## ")[0]
    rows = re.findall(r"^\| (`[^|]+) \|", table, re.MULTILINE)
    described = {room for row in rows for room in re.findall(r"`(\w+)/`", row)}
    there = {path.parent.name for path in PACKAGE.glob("*/__init__.py")}
    assert described == there


# Names in the code: tables of the architecture name a file, and what of it to look at.


def architecture_rows() -> list[str]:
    """Rows of the tables that follow something through the code, and of those that say where something is."""
    text = (ROOT / "docs" / "architecture.md").read_text()
    return re.findall(r"^\| .*`[\w/]+\.py`.*$", text[text.index("## Where is ...?") :], re.MULTILINE)


def named_in(tree: ast.AST, dotted: str) -> bool:
    """Whether a module defines, imports, uses or spells a name; ``Class.member``: whether that class has the member."""
    first, _, member = dotted.partition(".")
    if member:
        classes = [node for node in ast.walk(tree) if isinstance(node, ast.ClassDef) and node.name == first]
        return any(named_in(part, member) for one in classes for part in one.body)
    return any(
        first in (getattr(node, "id", None), getattr(node, "name", None), getattr(node, "arg", None))
        or (isinstance(node, ast.Constant) and node.value == first)
        for node in ast.walk(tree)
    )


def files_of(row: str) -> list[Path]:
    return [PACKAGE / span for span in CODE.findall(row) if re.fullmatch(r"[\w/]+\.py", span)]


def symbols_of(row: str) -> list[str]:
    """What a row names of its files: what stands in backticks and is no path, key of the config, or rule's."""
    said = re.sub(r"(rule|param) `[^`]+`|the param `[^`]+`", "", row)
    found = [span for span in CODE.findall(said) if re.fullmatch(r"[A-Za-z_]+(\.[A-Za-z_]+)?", span)]
    return [span for span in found if not span.endswith((".py", ".smk")) and not ("." in span and is_key(span))]


def test_names_are_told_from_what_is_not_there() -> None:
    tree = ast.parse("from a import Given\nclass Trainer:\n    def fit(self, epochs): ...\nCOURSE = Given()\n")
    assert all(named_in(tree, name) for name in ("Given", "Trainer", "Trainer.fit", "epochs", "COURSE"))
    assert not any(named_in(tree, name) for name in ("Trainer.fits", "Given.fit", "Course", "a"))


@pytest.mark.parametrize("row", architecture_rows())
def test_what_the_architecture_names_is_in_the_file_that_it_names(row: str) -> None:
    trees = []
    for path in files_of(row):
        assert path.exists(), f"{path}: not there"
        trees.append(ast.parse(path.read_text()))
    for name in symbols_of(row):
        assert any(named_in(tree, name) for tree in trees), f"{name}: not in {', '.join(map(str, files_of(row)))}"


def test_every_step_of_a_walk_names_what_to_look_at() -> None:
    text = (ROOT / "docs" / "architecture.md").read_text()
    walks = [row for row in architecture_rows() if row in text[text.index("## Walks") :]]
    assert len(walks) >= 28
    assert [row for row in walks if not symbols_of(row)] == []
    epochs = text.split("### Epochs")[1].split("Other epochs")[0]
    assert 4 <= len(re.findall(r"^\| `", epochs, re.MULTILINE)) <= 6
