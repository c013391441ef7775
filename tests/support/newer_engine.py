"""An engine of a release to come, which has forgotten the protocol of today:
`python -m tests.support.newer_engine FOLDER PORT VERSION SUBPROTOCOL`.
"""

import sys
from pathlib import Path

from onward_protocol import limits

limits.VERSIONS = (int(sys.argv[3]), int(sys.argv[3]) + 2)
limits.SUBPROTOCOL = sys.argv[4]

if __name__ == "__main__":
    from onward_engine import Settings, serve

    serve(Settings(folder=Path(sys.argv[1]), port=int(sys.argv[2])))
