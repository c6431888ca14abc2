"""Code that a run's settings name outside the program: found, kept, compared."""

from ablate.sources.edits import earlier_run as earlier_run
from ablate.sources.edits import edited as edited
from ablate.sources.edits import keep as keep
from ablate.sources.finding import Source as Source
from ablate.sources.finding import as_identity as as_identity
from ablate.sources.finding import check_unedited as check_unedited
from ablate.sources.finding import files as files
from ablate.sources.finding import find as find
