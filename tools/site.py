#!/usr/bin/env python3
"""Makes pages and files outside of docs/ part of the site that mdBook builds from docs/.

The pages are written for people who read them in the repository, where a link such as
../examples/qsys leads to a folder. book.toml runs this program twice:

- As a preprocessor: a page X outside of docs/ gets the address source/X, and every link is
  rewritten to where its target is on the site. A link text that is only a file's name becomes the
  title of the page.
- As a renderer after mdBook's own, it copies every file and folder that is linked to source/ in
  the site. A folder gets a page with its contents.

It fails if a link leads nowhere, or to a page that docs/SUMMARY.md does not have.
"""

import html
import json
import os
import posixpath
import re
import shutil
import sys
import urllib.parse

# The folder in the site of all that is not in docs/.
OUTSIDE = "source"
# Never copied: what tools put into folders of the repository.
SKIPPED = {"node_modules", "target", "__pycache__"}
CODE_BLOCK = re.compile(r"^ *(`{3,}|~{3,})[^\n]*\n.*?^ *\1[^\n]*$", re.M | re.S)
LINK = re.compile(r"(!?)\[((?:[^\[\]]|\[[^\]]*\])*)\]\(([^()\s]+)\)")
OTHER_SERVER = re.compile(r"[a-z]+:")
FILE_NAME = re.compile(r"^[\w./-]+\.md$")


def chapters(items):
    """Every chapter that has a file, with those below it."""
    for item in items:
        chapter = item.get("Chapter") if isinstance(item, dict) else None
        if chapter:
            if chapter.get("source_path"):
                yield chapter
            yield from chapters(chapter["sub_items"])


def items_of(book):
    return book["items"] if "items" in book else book["sections"]


def in_repository(chapter, src):
    """The path of a chapter's file in the repository."""
    return posixpath.normpath(posixpath.join(src, chapter["source_path"]))


def on_site(path, src):
    """Where a file of the repository is on the site. mdBook itself makes .html of .md."""
    inside = path.startswith(src + "/")
    path = path[len(src) + 1:] if inside else f"{OUTSIDE}/{path}"
    folder, name = posixpath.split(path)
    return posixpath.join(folder, "index.md") if name == "README.md" else path


def outside_code(text, replace):
    """The text with what is in no code block replaced."""
    parts, at = [], 0
    for code in CODE_BLOCK.finditer(text):
        parts += [replace(text[at:code.start()]), code.group(0)]
        at = code.end()
    return "".join(parts + [replace(text[at:])])


class Pages:
    """The pages of the book, by their paths in the repository."""

    def __init__(self, root, src, book):
        self.root, self.src = root, src
        self.all = {in_repository(chapter, src): chapter for chapter in chapters(items_of(book))}
        self.missing = []

    def title(self, path):
        for line in self.all[path]["content"].splitlines():
            if line.startswith("# "):
                return line[2:].strip()
        return self.all[path]["name"]

    def target(self, page, link):
        """The path in the repository that a page's link leads to, or None for itself and other servers."""
        file = urllib.parse.unquote(link.split("#")[0])
        if not file or OTHER_SERVER.match(link):
            return None
        path = posixpath.normpath(posixpath.join(posixpath.dirname(page), file))
        # The repository's README is for those who are in it; the site begins with that of docs/.
        path = f"{self.src}/README.md" if path == "README.md" else path
        folder_page = f"{path}/README.md"
        return folder_page if folder_page in self.all else path

    def rewrite(self, page):
        here = posixpath.dirname(on_site(page, self.src))

        def link(match):
            image, text, address = match.groups()
            path = self.target(page, address)
            if path is None:
                return match.group(0)
            full = os.path.join(self.root, path)
            if not os.path.exists(full) or (path.endswith(".md") and path not in self.all):
                self.missing.append(f"{page}: {address}")
            if path in self.all and FILE_NAME.match(text):
                text = self.title(path)
            site = on_site(path, self.src)
            if os.path.isdir(full):
                site += "/index.html"
            anchor = address[address.index("#"):] if "#" in address else ""
            site = urllib.parse.quote(posixpath.relpath(site, here or "."))
            return f"{image}[{text}]({site}{anchor})"

        return outside_code(self.all[page]["content"], lambda text: LINK.sub(link, text))


def preprocess(context, book):
    pages = Pages(context["root"], context["config"]["book"]["src"], book)
    texts = {path: pages.rewrite(path) for path in pages.all}
    if pages.missing:
        sys.exit("links that lead nowhere, or to pages that SUMMARY.md lacks:\n" + "\n".join(pages.missing))
    for path, chapter in pages.all.items():
        chapter["content"] = texts[path]
        # mdBook turns the README.md of a folder of docs/ into its index itself; for the others it is done here.
        chapter["path"] = on_site(path, pages.src)
    json.dump(book, sys.stdout)


def listing(folder, name):
    """A page with the contents of a folder, for servers that list none."""
    names = sorted(os.listdir(folder))
    rows = "".join(
        f'<li><a href="{urllib.parse.quote(entry)}{"/index.html" if os.path.isdir(os.path.join(folder, entry)) else ""}">'
        f"{html.escape(entry)}</a></li>"
        for entry in names
        if entry != "index.html"
    )
    return (
        f'<!DOCTYPE html><html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width">'
        f"<title>{html.escape(name)}</title><style>:root{{color-scheme:light dark;font-family:sans-serif}}"
        f"li{{margin:.4em}}</style><h1>{html.escape(name)}</h1><ul>{rows}</ul></html>\n"
    )


def copy_files(context):
    root = context["root"]
    site = os.path.join(os.path.dirname(context["destination"]), "html")
    wanted = set()
    for chapter in chapters(items_of(context["book"])):
        here = posixpath.dirname(chapter["path"])

        def note(text):
            for _, _, address in LINK.findall(text):
                file = urllib.parse.unquote(address.split("#")[0])
                path = posixpath.normpath(posixpath.join(here, file))
                inside = not OTHER_SERVER.match(address) and path.startswith(OUTSIDE + "/")
                if inside and not path.endswith(".md"):
                    wanted.add(path.removeprefix(OUTSIDE + "/").removesuffix("/index.html"))
            return text

        outside_code(chapter["content"], note)
    for path in sorted(wanted):
        source, copy = os.path.join(root, path), os.path.join(site, OUTSIDE, path)
        os.makedirs(os.path.dirname(copy), exist_ok=True)
        if not os.path.isdir(source):
            shutil.copyfile(source, copy)
            continue
        shutil.copytree(source, copy, ignore=lambda _, names: SKIPPED & set(names), dirs_exist_ok=True)
        for folder, _, files in os.walk(copy):
            if "index.html" not in files:
                name = os.path.relpath(folder, os.path.join(site, OUTSIDE))
                with open(os.path.join(folder, "index.html"), "w", encoding="utf-8") as page:
                    page.write(listing(folder, name))


def main():
    if sys.argv[1:2] == ["supports"]:
        return
    given = json.load(sys.stdin)
    if isinstance(given, list):
        preprocess(*given)
    else:
        copy_files(given)


main()
