#!/usr/bin/env python3
"""Turns the suite's YAML into JSON: convert.py rfc7208-tests.yml > rfc7208-tests.json (needs PyYAML)."""

import json
import sys

import yaml

KEPT = ("helo", "host", "mailfrom", "result", "explanation", "spec")


class Loader(yaml.SafeLoader):
    """Refuses a key that stands twice in one mapping, which PyYAML takes silently."""

    def construct_mapping(self, node, deep=False):
        keys = [self.construct_object(key, deep=True) for key, _ in node.value]
        twice = {key for key in keys if keys.count(key) > 1}
        if twice:
            raise SystemExit(f"{node.start_mark}: twice: {twice}")
        return super().construct_mapping(node, deep)


scenarios = []
with open(sys.argv[1], "rb") as source:
    for scenario in yaml.load_all(source, Loader):
        tests = {
            name: {key: str(test[key]) if key == "spec" else test[key] for key in KEPT if key in test}
            for name, test in scenario["tests"].items()
        }
        scenarios.append(
            {"description": scenario["description"], "tests": tests, "zonedata": scenario["zonedata"]}
        )
json.dump(scenarios, sys.stdout, indent=1, ensure_ascii=True)
print()
