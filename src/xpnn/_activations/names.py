"""The public names of this room, and no others. Type checkers follow star imports of files with `__all__`."""

from xpnn._activations.erf import *
from xpnn._activations.exponential import *
from xpnn._activations.gated import *
from xpnn._activations.logsumexp import *
from xpnn._activations.piecewise import *
from xpnn._activations.shrinkage import *
from xpnn._activations.sigmoids import *
from xpnn._activations.softmax import *
