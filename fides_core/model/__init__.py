"""Golden model: an instruction-set simulator of RV64IMAC and Xfides, written to be read beside the contract.

``compartments`` sections 5 to 7, ``pointers`` section 9, ``xfides_csrs`` section 4, ``machine`` section 3 and
the base ISA, ``arithmetic`` its results, ``control`` and ``pmp`` the privileged ISA, ``platform`` section 10.
"""

from .platform import Outcome, Platform

__all__ = ["Outcome", "Platform"]
