"""Which files are worth remembering, told by their names alone: languages, secrets, and what a machine wrote."""

from __future__ import annotations

from fnmatch import fnmatchcase

PROSE = {
    ".md": "markdown",
    ".markdown": "markdown",
    ".mdx": "markdown",
    ".mdc": "markdown",
    ".rst": "restructuredtext",
    ".txt": "text",
    ".text": "text",
    ".adoc": "asciidoc",
    ".org": "org",
    ".tex": "latex",
}
NOTEBOOKS = {".ipynb": "notebook"}
RECORDS = {".jsonl": "jsonl", ".ndjson": "jsonl"}
CODE = {
    ".py": "python",
    ".pyi": "python",
    ".c": "c",
    ".h": "c",
    ".cc": "cpp",
    ".cpp": "cpp",
    ".cxx": "cpp",
    ".hpp": "cpp",
    ".hh": "cpp",
    ".cs": "csharp",
    ".cu": "cuda",
    ".java": "java",
    ".kt": "kotlin",
    ".kts": "kotlin",
    ".scala": "scala",
    ".go": "go",
    ".rs": "rust",
    ".swift": "swift",
    ".m": "objective-c",
    ".mm": "objective-c",
    ".js": "javascript",
    ".jsx": "javascript",
    ".mjs": "javascript",
    ".cjs": "javascript",
    ".ts": "typescript",
    ".tsx": "typescript",
    ".mts": "typescript",
    ".cts": "typescript",
    ".vue": "vue",
    ".svelte": "svelte",
    ".rb": "ruby",
    ".php": "php",
    ".pl": "perl",
    ".pm": "perl",
    ".lua": "lua",
    ".r": "r",
    ".jl": "julia",
    ".dart": "dart",
    ".ex": "elixir",
    ".exs": "elixir",
    ".erl": "erlang",
    ".hs": "haskell",
    ".ml": "ocaml",
    ".fs": "fsharp",
    ".clj": "clojure",
    ".zig": "zig",
    ".nim": "nim",
    ".sh": "shell",
    ".bash": "shell",
    ".zsh": "shell",
    ".fish": "shell",
    ".ps1": "powershell",
    ".sql": "sql",
    ".proto": "protobuf",
    ".graphql": "graphql",
    ".tf": "terraform",
    ".cmake": "cmake",
    ".gradle": "gradle",
    ".css": "css",
    ".scss": "css",
    ".s": "assembly",
    ".asm": "assembly",
    ".toml": "toml",
    ".yaml": "yaml",
    ".yml": "yaml",
    ".ini": "ini",
    ".cfg": "ini",
}
WHOLE_NAMES = {
    "readme": "text",
    "license": "text",
    "licence": "text",
    "notice": "text",
    "authors": "text",
    "changelog": "text",
    "changes": "text",
    "news": "text",
    "contributing": "text",
    "makefile": "make",
    "gnumakefile": "make",
    "dockerfile": "docker",
    "containerfile": "docker",
    "jenkinsfile": "groovy",
    "rakefile": "ruby",
    "gemfile": "ruby",
    "justfile": "make",
    "cmakelists.txt": "cmake",
    ".cursorrules": "text",
}
PROSE_LANGUAGES = frozenset({*PROSE.values(), "text"})

SECRET_NAMES = (
    ".env",
    ".env.*",
    "*.env",
    "*.pem",
    "*.key",
    "*.p12",
    "*.pfx",
    "*.p8",
    "*.jks",
    "*.keystore",
    "*.kdbx",
    "*.ppk",
    "*.asc",
    "*.gpg",
    "*.ovpn",
    "*.tfstate",
    "*.tfvars",
    "id_rsa*",
    "id_dsa*",
    "id_ecdsa*",
    "id_ed25519*",
    ".netrc",
    "_netrc",
    ".pgpass",
    ".htpasswd",
    ".npmrc",
    ".pypirc",
    ".git-credentials",
    ".dockercfg",
    "credentials",
    "credentials.*",
    "secrets",
    "secrets.*",
    "*.secret",
    "*.secrets",
    "kubeconfig",
)
# Templates of the above that are meant to be shared.
SHARED_NAMES = (".env.example", ".env.sample", ".env.template", ".env.dist", "*.py", "*.pyi", "*.md", "*.rst")
MACHINE_NAMES = (
    "package-lock.json",
    "npm-shrinkwrap.json",
    "yarn.lock",
    "pnpm-lock.yaml",
    "*.lock",
    "go.sum",
    "*.min.js",
    "*.min.css",
    "*.map",
    "*_pb2.py",
    "*.pb.go",
)
NOISE_FOLDERS = frozenset(
    {"node_modules", "bower_components", "__pycache__", "__pypackages__", "site-packages", "dist-packages"}
)
# A folder that holds one of these was made by a tool: a virtual environment, a cache.
TOOL_MARKS = ("pyvenv.cfg", "CACHEDIR.TAG")
# Hidden folders hold caches and credentials; these hold what people wrote for people and agents.
OPEN_HIDDEN_FOLDERS = frozenset({".github", ".gitlab", ".claude", ".cursor", ".vscode", ".devcontainer", ".ci"})


def language_of(name: str) -> str | None:
    """The language a file's name tells, None when it tells none that is read by default."""
    lower = name.lower()
    if lower in WHOLE_NAMES:
        return WHOLE_NAMES[lower]
    if "." not in lower and lower.split("-")[0] in WHOLE_NAMES:
        return WHOLE_NAMES[lower.split("-")[0]]  # LICENSE-MIT
    dot = lower.rfind(".")
    suffix = lower[dot:] if dot > 0 else ""
    for table in (PROSE, CODE, NOTEBOOKS, RECORDS):
        if suffix in table:
            return table[suffix]
    return None


def looks_secret(name: str) -> bool:
    """Whether a file of this name usually holds keys or passwords."""
    lower = name.lower()
    return _matches(lower, SECRET_NAMES) and not _matches(lower, SHARED_NAMES)


def looks_machine_written(name: str) -> bool:
    """Whether a file of this name is usually written by a tool: lock files, minified and generated code."""
    return _matches(name.lower(), MACHINE_NAMES)


def _matches(name: str, patterns: tuple[str, ...]) -> bool:
    return any(fnmatchcase(name, pattern) for pattern in patterns)
