"""The api: counts visits in PostgreSQL and tells the caller its own address."""

import asyncio
import os
from contextlib import asynccontextmanager
from urllib.parse import urlsplit, urlunsplit

import asyncpg
from fastapi import FastAPI, Request

DATABASE_URL = os.environ["DATABASE_URL"]
WAIT_SECONDS = 60


async def ensure_database() -> None:
    """Makes the database that the URL names, where the server does not have it yet."""
    url = urlsplit(DATABASE_URL)
    name = url.path.lstrip("/")
    admin = await asyncpg.connect(urlunsplit(url._replace(path="/postgres")))
    try:
        if not await admin.fetchval("SELECT 1 FROM pg_database WHERE datname = $1", name):
            await admin.execute(f'CREATE DATABASE "{name}"')
    finally:
        await admin.close()


async def open_pool() -> asyncpg.Pool:
    """Connects; the compose file gives no order, so the database may still be starting."""
    for _ in range(WAIT_SECONDS * 10):
        try:
            await ensure_database()
            return await asyncpg.create_pool(DATABASE_URL, min_size=1, max_size=4)
        except (OSError, asyncpg.PostgresError):
            await asyncio.sleep(0.1)
    raise SystemExit(f"api: no database after {WAIT_SECONDS} s")


@asynccontextmanager
async def lifespan(app: FastAPI):
    app.state.pool = await open_pool()
    await app.state.pool.execute(
        "CREATE TABLE IF NOT EXISTS visits (id serial PRIMARY KEY, client text, note text)"
    )
    yield
    await app.state.pool.close()


app = FastAPI(lifespan=lifespan)


@app.get("/health")
async def health():
    return {"ok": await app.state.pool.fetchval("SELECT 1") == 1}


@app.get("/visits")
async def visits(request: Request):
    row = await app.state.pool.fetchrow(
        "INSERT INTO visits (client, note) VALUES ($1, $2) RETURNING id, client, note",
        request.client.host,
        "a row from PostgreSQL",
    )
    return dict(row)


def add_numbers(a: int, b: int) -> int:
    if os.environ.get("DEBUG"):
        import ipdb

        ipdb.set_trace()
    return a + b


@app.get("/add")
def add(a: int, b: int):
    return {"sum": add_numbers(a, b)}
