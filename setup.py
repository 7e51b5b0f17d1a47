"""The one thing that pyproject.toml can't say: the extension that scans use where there is a C compiler."""

from setuptools import Extension, setup

setup(ext_modules=[Extension("mpingest.scan._native", ["mpingest/scan/_native.c"], optional=True)])
