"""Reaching the shared database: its address, a pool of connections, and PostgreSQL's errors in our own words.

A connection is taken for one call and given back; one that died meanwhile (the server was restarted, the network cut)
is noticed before it is used, and a new one is waited for. Nothing waits for ever: connecting, statements and locks
have limits. The password never leaves the address: `shown` is what messages say.
"""

from __future__ import annotations

import re
import select
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TypeVar
from urllib.parse import parse_qsl, quote, urlencode, urlsplit

from ruvllm_mcp.errors import (
    SettingsError,
    StorageFullError,
    StoreAccessError,
    StoreBusyError,
    StoreCorruptError,
    StoreError,
    StoreSetupError,
    StoreUnreachableError,
)

try:
    import psycopg
    from psycopg import conninfo, errors
except ImportError as missing:
    raise SettingsError(
        "The store is a PostgreSQL database, and psycopg is not installed.", "pip install 'ruvllm-mcp[postgres]'"
    ) from missing

from ruvllm_mcp.memory import postgres_migrations, postgres_values

if TYPE_CHECKING:
    from psycopg import Connection
    from psycopg.rows import TupleRow

    Session = Connection[TupleRow]

T = TypeVar("T")
CONNECT_SECONDS = 10
RESTART_SECONDS = 8.0  # how long a server that answered before is waited for
STATEMENT_SECONDS = 120
LOCK_SECONDS = 30
IDLE_SECONDS = 600  # of a transaction whose reader does not go on
KEPT_OPEN = 4
ATTEMPTS = 5
DEFAULT_SCHEMA = "ruvllm"
_SETUP = """SELECT set_config('search_path', %s, false), set_config('synchronous_commit', %s, false),
    set_config('statement_timeout', %s, false), set_config('lock_timeout', %s, false),
    set_config('idle_in_transaction_session_timeout', %s, false)"""
_UNREACHABLE = ("57P01", "57P02", "57P03", "08")
_TRANSLATIONS: tuple[tuple[tuple[str, ...], type[StoreError], str, str], ...] = (
    (("28",), StoreAccessError, "refuses us", "Check user and password in RUVLLM_STORE, PGPASSWORD or ~/.pgpass."),
    (("3D",), StoreSetupError, "is not there", "Create the database: createdb NAME."),
    (("42501",), StoreAccessError, "forbids it", "Ask for CREATE on the database, or rights on its schema."),
    (("25006",), StoreAccessError, "is a read-only standby", "Name the primary server in RUVLLM_STORE."),
    (("55P03", "57014"), StoreBusyError, "took too long", "Try again when the other writers have finished."),
    (("40", "53300"), StoreBusyError, "is busy", "Try again."),
    (
        ("53100",),
        StorageFullError,
        "cannot grow: its disk is full",
        "Free some space there; what was stored is intact.",
    ),
    (("XX001", "XX002"), StoreCorruptError, "is damaged", "Restore it from a backup (`ruvllm doctor` says how)."),
    (("22P05", "22021"), StoreSetupError, "cannot hold this text", "Create the database with ENCODING 'UTF8'."),
    (_UNREACHABLE, StoreUnreachableError, "went away", "Try again when the server runs; adding twice merges."),
)
_REFUSED = ("password authentication failed", "no password supplied", "no pg_hba.conf entry", "role ")


@dataclass(frozen=True)
class Address:
    """Where the store is. `conninfo` is libpq's and may hold the password; `shown` does not. All tables live in
    `schema`, so that several stores fit into one database."""

    conninfo: str = field(repr=False)
    schema: str
    shown: str


def address_of(url: str) -> Address:
    """Reads `postgresql://[user[:password]@]host[:port]/database[?schema=NAME&…]`. Raises SettingsError, which does not
    repeat the address: it may hold a password."""
    try:
        parts = urlsplit(url)
        options = dict(parse_qsl(parts.query, keep_blank_values=True))
        schema = options.pop("schema", DEFAULT_SCHEMA)
        query = f"?{urlencode(options, quote_via=quote)}" if options else ""
        plain = f"postgresql://{parts.netloc}{parts.path}{query}"
        known = conninfo.conninfo_to_dict(plain)
    except (ValueError, psycopg.Error):
        raise SettingsError(
            "Setting 'store' is no PostgreSQL address.",
            "It takes postgresql://USER@HOST:PORT/DATABASE; write % in a password as %25, @ as %40.",
        ) from None
    if not re.fullmatch(r"[a-z_][a-z0-9_]{0,62}", schema) or schema.startswith("pg_"):
        raise SettingsError(f"Setting 'store' names the schema {schema!r}.", "It takes letters a-z, digits and '_'.")
    user = f"{known['user']}@" if known.get("user") else ""
    port = f":{known['port']}" if known.get("port") else ""
    shown = f"postgresql://{user}{known.get('host') or 'localhost'}{port}/{known.get('dbname') or ''}"
    return Address(plain, schema, shown if schema == DEFAULT_SCHEMA else f"{shown}?schema={schema}")


class ChangedMeanwhileError(Exception):
    """What a transaction had read is true no more; it is run again."""


class Connections:
    """The pool. The first connection brings the schema up to date. Without `synchronous`, a commit does not wait until
    it is on the server's disk."""

    def __init__(self, address: Address, *, synchronous: bool = True) -> None:
        self.address = address
        self._commit = "on" if synchronous else "off"
        self._lock = threading.Lock()
        self._idle: list[Session] = []
        self._closed = False
        with translated(address):
            first = self._connect(patience=0.0)
            try:
                self._prepared = postgres_migrations.prepare(first, address, time.time())
                self._set_up(first)
            except BaseException:
                first.close()
                raise
        self._idle.append(first)

    @contextmanager
    def read(self) -> Iterator[Session]:
        """A connection where each statement is a transaction of its own."""
        with translated(self.address), self._taken() as connection:
            yield connection

    @contextmanager
    def view(self) -> Iterator[Session]:
        """A connection in a read-only transaction that sees one moment of the store."""
        with translated(self.address), self._taken() as connection:
            connection.isolation_level, connection.read_only = psycopg.IsolationLevel.REPEATABLE_READ, True
            try:
                with connection.transaction():
                    yield connection
            finally:
                if not connection.closed:
                    connection.isolation_level = connection.read_only = None

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """A connection in a transaction that commits at the end, or leaves no trace when anything inside raises."""
        with translated(self.address), self._taken() as connection, connection.transaction():
            yield connection

    def write(self, work: Callable[[Session], T]) -> T:
        """What `work` returns, its changes committed, or no trace of it when it raises. It is run again when another
        writer was in its way (deadlock, the same text added twice at once)."""
        retried = (errors.DeadlockDetected, psycopg.IntegrityError, ChangedMeanwhileError)
        with translated(self.address):
            for attempt in range(1, ATTEMPTS + 1):
                try:
                    with self._taken() as connection, connection.transaction():
                        return work(connection)
                except retried as error:
                    if attempt == ATTEMPTS:
                        raise StoreBusyError(
                            f"{self.address.shown} is busy: other writers were in the way {ATTEMPTS} times ({error}).",
                            "Try again.",
                        ) from error
        raise AssertionError("every attempt returns or raises")

    def connect(self) -> Session:
        """A connection of the caller's own, to be closed by it."""
        with translated(self.address):
            self._refuse_if_closed()
            return self._set_up(self._connect(patience=0.0))

    def translating(self) -> AbstractContextManager[None]:
        """PostgreSQL's errors inside become the StoreError family."""
        return translated(self.address)

    def close(self) -> None:
        """Closes what is not in use now; the rest when handed back."""
        with self._lock:
            self._closed = True
            for connection in self._idle:
                connection.close()
            self._idle.clear()

    @contextmanager
    def _taken(self) -> Iterator[Session]:
        connection = self._next()
        try:
            yield connection
        finally:
            with self._lock:
                if self._closed or connection.closed or len(self._idle) >= KEPT_OPEN:
                    connection.close()
                else:
                    self._idle.append(connection)

    def _next(self) -> Session:
        with self._lock:
            self._refuse_if_closed()
            while self._idle:
                connection = self._idle.pop()
                if _is_alive(connection):
                    return connection
                connection.close()
        return self._set_up(self._connect(patience=RESTART_SECONDS))

    def _connect(self, patience: float) -> Session:
        """A connection, waited for up to `patience` seconds while the server is away."""
        deadline = time.monotonic() + patience
        while True:
            try:
                return psycopg.connect(
                    self.address.conninfo,
                    autocommit=True,
                    connect_timeout=CONNECT_SECONDS,
                    application_name="ruvllm",
                    keepalives_idle=30,
                )
            except psycopg.OperationalError as error:
                if time.monotonic() >= deadline or _kind_of(error)[0] is not StoreUnreachableError:
                    raise
                time.sleep(0.2)

    def _set_up(self, connection: Session) -> Session:
        limits = (f"{1_000 * seconds:.0f}ms" for seconds in (STATEMENT_SECONDS, LOCK_SECONDS, IDLE_SECONDS))
        connection.execute(_SETUP, (self._prepared.search_path, self._commit, *limits))
        postgres_values.register(connection, self._prepared.vector_oid)
        return connection

    def _refuse_if_closed(self) -> None:
        if self._closed:
            raise StoreError(f"{self.address.shown} was closed.", "Open the memory again.")


def _is_alive(connection: Session) -> bool:
    """Whether the server has been silent: an idle one that says something says goodbye."""
    if connection.closed:
        return False
    poll = select.poll()
    poll.register(connection.fileno(), select.POLLIN)
    return not poll.poll(0)


@contextmanager
def translated(address: Address) -> Iterator[None]:
    """PostgreSQL's errors inside become the StoreError family."""
    try:
        yield
    except psycopg.Error as error:
        kind, what, hint = _kind_of(error)
        raise kind(f"{address.shown} {what} ({_said(error)}).", hint) from error


def _said(error: psycopg.Error) -> str:
    """The server's own words, on one line, without the statement's values."""
    text = error.diag.message_primary or str(error)
    return " ".join(text.split())[:300].rstrip(".")


def _kind_of(error: psycopg.Error) -> tuple[type[StoreError], str, str]:
    code = error.sqlstate or ""
    for prefixes, kind, what, hint in _TRANSLATIONS:
        if code.startswith(prefixes):
            return kind, what, hint
    if not code and isinstance(error, psycopg.OperationalError):  # before a session there are words only
        text = str(error)
        if any(words in text for words in _REFUSED):
            return _TRANSLATIONS[0][1:]
        if "database" in text and "does not exist" in text:
            return _TRANSLATIONS[1][1:]
        return StoreUnreachableError, "does not answer", "Start the server, or correct RUVLLM_STORE."
    return StoreError, "could not do it", "Run `ruvllm doctor`."
