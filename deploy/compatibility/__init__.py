"""The compatibility gate: compares the contracts as they are with those that were published last.

`python -m deploy.compatibility` from the top of the repository (`make contracts-check`);
`--publish VERSION` records what is there as the next published version.

- `rules`: what is forbidden, one sentence each, and a finding.
- `trees`: a schema with its references put in, and what it says where.
- `keywords`: what may become of the keywords of one schema.
- `schemas`: two schemas, walked side by side.
- `versions`: what was published: recording it, finding it, seeing that nobody changed it.
- `gate`: all of it, over two folders.
"""
