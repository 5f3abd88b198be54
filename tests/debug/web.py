"""Adds two numbers, and stops on the way for whoever is attached."""

from fastapi import FastAPI

app = FastAPI()


def add_numbers(a, b):
    import ipdb; ipdb.set_trace()
    return a + b


@app.get("/add")
def add(a: int, b: int):
    return {"sum": add_numbers(a, b)}


@app.get("/health")
def health():
    return {"ok": True}
