"""`python -m ruvllm_kernel install|uninstall`."""

import sys

from ruvllm_kernel.install import main

sys.exit(main())
