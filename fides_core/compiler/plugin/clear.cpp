// Registers that carry nothing between compartments are cleared where functions that others can enter begin and end.
//
// Callee-saved registers are restored, arguments and results are meant for the other side; what is left are temporaries
// and the argument registers that neither uses. The linker jumps over the clearing in functions that turn out to be no
// entry points.
#include "pass.h"

namespace fides {

using namespace llvm;

static constexpr unsigned ArgumentRegisters = 8;

/// Argument registers that values of these types are passed in: at least those that the calling convention takes.
static unsigned registersOf(ArrayRef<Type *> Types, const DataLayout &DL) {
  uint64_t Number = 0;
  for (Type *T : Types) {
    uint64_t Elements = 1;
    if (auto *Struct = dyn_cast<StructType>(T))
      Elements = Struct->getNumElements();
    else if (auto *Array = dyn_cast<ArrayType>(T))
      Elements = Array->getNumElements();
    Number += std::max<uint64_t>(Elements, divideCeil(DL.getTypeAllocSize(T).getFixedValue(), 8));
  }
  return std::min<uint64_t>(Number, ArgumentRegisters);
}

/// Whether the function gets a landing pad, as far as this module can know.
static bool canBeEntered(const Function &F) { return !F.hasLocalLinkage() || F.hasAddressTaken(); }

void clearRegisters(Function &F, Report &R) {
  if (!canBeEntered(F) || F.hasFnAttribute(Attribute::Naked))
    return;
  const DataLayout &DL = F.getParent()->getDataLayout();
  SmallVector<Type *> Results;
  if (!F.getReturnType()->isVoidTy())
    Results.push_back(F.getReturnType());
  for (BasicBlock &Block : F) {
    auto *Return = dyn_cast<ReturnInst>(Block.getTerminator());
    if (!Return)
      continue;
    CallInst *Tail = Block.getTerminatingMustTailCall();
    IRBuilder<> B(Tail ? cast<Instruction>(Tail) : Return);
    // What a tail call passes on, its callee clears.
    Instructions(B).clear(Tail ? ArgumentRegisters : registersOf(Results, DL));
    R.count("clearings.exits");
  }
  IRBuilder<> B(&*F.getEntryBlock().getFirstNonPHIOrDbgOrAlloca());
  Instructions(B).clear(F.isVarArg() ? ArgumentRegisters : registersOf(F.getFunctionType()->params(), DL));
  R.count("clearings.entries");
}

} // namespace fides
