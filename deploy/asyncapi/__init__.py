"""Makes `contracts/asyncapi.yaml` and the page that shows it, from the contracts and the topology.

`python -m deploy.asyncapi` from the top of the repository (`make contracts`).
"""
