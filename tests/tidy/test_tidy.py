"""What reviewers forget: the dependency graph, versions, licences, unsafe code, stray paths."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from functools import lru_cache
from pathlib import Path
from typing import Any

if sys.version_info >= (3, 11):
    import tomllib
else:
    import tomli as tomllib

ROOT = Path(__file__).resolve().parents[2]

# Who may depend on whom, nearest first: core <- shm <- forkmeter <- cli <- python. The Python package carries the
# command, so that one `pip install` brings both.
ALLOWED: dict[str, set[str]] = {
    "forkmeter-core": set(),
    "forkmeter-shm": {"forkmeter-core"},
    "forkmeter": {"forkmeter-core", "forkmeter-shm"},
    "forkmeter-cli": {"forkmeter-core", "forkmeter-shm", "forkmeter"},
    "forkmeter-python": {"forkmeter-core", "forkmeter-shm", "forkmeter", "forkmeter-cli"},
}


@lru_cache(maxsize=1)
def metadata() -> dict[str, Any]:
    """Returns what `cargo metadata` says about the workspace and all that it depends on."""
    done = subprocess.run(
        ["cargo", "metadata", "--format-version=1", "--all-features", "--locked"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=110,
    )
    answer: dict[str, Any] = json.loads(done.stdout)
    return answer


def members() -> list[dict[str, Any]]:
    """Returns the packages of the workspace."""
    ids = set(metadata()["workspace_members"])
    return [package for package in metadata()["packages"] if package["id"] in ids]


@lru_cache(maxsize=1)
def tracked() -> tuple[Path, ...]:
    """Returns all tracked files."""
    done = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT,
        check=True,
        capture_output=True,
        timeout=30,
    )
    names = done.stdout.decode().split("\0")
    return tuple(ROOT / name for name in names if name and (ROOT / name).is_file())


def test_dependencies_point_in_one_direction() -> None:
    """A crate depends only on crates nearer to the core, at build time and in its tests' shipped code."""
    names = {package["name"] for package in members()}
    assert set(ALLOWED) <= names, "a crate is missing"
    for package in members():
        allowed = ALLOWED.get(package["name"])
        if allowed is None:
            assert package["publish"] == [], f"{package['name']} is unknown to this test and not private"
            continue
        used = {
            dependency["name"]
            for dependency in package["dependencies"]
            if dependency["kind"] != "dev" and dependency["name"] in names
        }
        assert used <= allowed, f"{package['name']} must not depend on {sorted(used - allowed)}"


def test_versions_are_in_lockstep() -> None:
    """All published crates have one version, also where they name each other, and the changelog has it."""
    versions = {package["name"]: package["version"] for package in members() if package["publish"] != []}
    assert len(set(versions.values())) == 1, versions
    (version,) = set(versions.values())
    manifest = tomllib.loads((ROOT / "Cargo.toml").read_text(encoding="utf-8"))
    assert manifest["workspace"]["package"]["version"] == version
    for name, dependency in manifest["workspace"]["dependencies"].items():
        if name in versions:
            assert dependency["version"] == version, f"{name} is asked for as {dependency['version']}"
    changelog = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    assert re.search(rf"^## \[?{re.escape(version)}\b", changelog, re.MULTILINE), f"no heading for {version}"


def test_unsafe_code_stands_only_where_it_may() -> None:
    """Only forkmeter-shm and the edge to Python may lift the workspace's ban on unsafe code."""
    homes = {ROOT / "crates" / name for name in ("forkmeter-shm", "forkmeter-python")}
    lifted = re.compile(r"allow\([^)]*\bunsafe_code\b|\bunsafe\s*(\{|fn\b|impl\b|extern\b)")
    for path in tracked():
        if path.suffix != ".rs" or any(home in path.parents for home in homes):
            continue
        code = re.sub(r"//.*", "", path.read_text(encoding="utf-8"))
        assert not lifted.search(code), f"unsafe code in {path.relative_to(ROOT)}"
    core = (ROOT / "crates/forkmeter-core/src/lib.rs").read_text(encoding="utf-8")
    assert "#![forbid(unsafe_code)]" in core


def test_every_member_takes_the_workspace_lints() -> None:
    """A crate cannot drop the shared lints by leaving the table out."""
    for package in members():
        manifest = tomllib.loads(Path(package["manifest_path"]).read_text(encoding="utf-8"))
        assert manifest.get("lints") == {"workspace": True}, package["name"]


def test_licences_and_sources_are_allowed() -> None:
    """Every dependency comes from crates.io under a licence that deny.toml lists."""
    deny = tomllib.loads((ROOT / "deny.toml").read_text(encoding="utf-8"))
    allowed = set(deny["licenses"]["allow"])
    sources = {f"registry+{source}" for source in deny["sources"]["allow-registry"]}
    for package in metadata()["packages"]:
        if package["source"] is not None:
            assert package["source"] in sources, f"{package['name']} comes from {package['source']}"
        expression = package["license"] or ""
        assert licence_fits(expression, allowed), f"{package['name']} is under {expression!r}"


def licence_fits(expression: str, allowed: set[str]) -> bool:
    """Tells whether an SPDX expression can be met with the allowed licences.

    Args:
        expression: such as `MIT OR (Apache-2.0 AND Zlib)`; the old `MIT/Apache-2.0` means `OR`.
        allowed: SPDX identifiers.
    """
    # An exception only adds permissions, so the licence alone decides.
    words = re.findall(r"[()]|[\w.+-]+", re.sub(r" WITH [\w.+-]+", "", expression.replace("/", " OR ")))
    python = []
    for word in words:
        if word in {"(", ")"}:
            python.append(word)
        elif word in {"AND", "OR"}:
            python.append(word.lower())
        else:
            python.append(str(word in allowed))
    # Only brackets, `and`, `or`, `True` and `False` are left.
    return bool(python) and bool(eval(" ".join(python)))  # noqa: S307


def test_fuzz_targets_have_a_corpus() -> None:
    """Each fuzz target has at least one committed seed, so that the replay on stable tests something."""
    targets = [path.stem for path in tracked() if path.match("fuzz/fuzz_targets/*.rs")]
    for target in targets:
        seeds = [path for path in tracked() if path.parent == ROOT / "fuzz/corpus" / target]
        assert seeds, f"fuzz/corpus/{target} is empty"


def test_no_paths_of_a_machine() -> None:
    """No tracked file names a folder of the machine that somebody worked on."""
    # Put together so that this file does not find itself.
    stray = re.compile("|".join(["/" + "root/", "/" + "work/", "/home/" + r"\w", "/tm" + "p/wt/"]).encode())
    for path in tracked():
        found = stray.search(path.read_bytes())
        assert not found, f"{path.relative_to(ROOT)} names {found and found.group().decode()}"


def test_documents_point_at_files_that_exist() -> None:
    """Relative links in the documents lead somewhere."""
    for path in tracked():
        if path.suffix != ".md":
            continue
        for target in re.findall(r"\]\((?!https?://|#)([^)#\s]+)", path.read_text(encoding="utf-8")):
            assert (path.parent / target).exists(), f"{path.relative_to(ROOT)} links to {target}"
