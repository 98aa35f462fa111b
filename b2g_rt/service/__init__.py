"""The live service: ingest, decode, render, deliver; the graph is drawn in graph.py."""
