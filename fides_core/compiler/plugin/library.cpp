// The C library's functions that read or write through pointers: the ones that check take their place.
#include "pass.h"

namespace fides {

using namespace llvm;

/// The names of library.def; the runtime library has each with `__fides_` before it.
static constexpr StringLiteral Checking[] = {
#define FUNCTION(name) #name,
#include "library.def"
#undef FUNCTION
};

static void renameDeclarations(Module &M, Report &R) {
  for (StringRef Name : Checking) {
    Function *F = M.getFunction(Name);
    if (!F || !F->isDeclaration() || F->use_empty())
      continue;
    std::string New = ("__fides_" + Name).str();
    if (Function *Known = M.getFunction(New))
      F->replaceAllUsesWith(Known);
    else
      F->setName(New);
    R.count("library.functions_that_check");
  }
}

static StringRef counterpart(const AnyMemIntrinsic &I) {
  if (isa<AnyMemSetInst>(I))
    return "__fides_memset";
  return isa<AnyMemMoveInst>(I) ? "__fides_memmove" : "__fides_memcpy";
}

/// Copies whose length only the running program knows are calls.
static void callForVariableLengths(Function &F, Report &R) {
  SmallVector<AnyMemIntrinsic *> Found;
  for (BasicBlock &Block : F)
    for (Instruction &I : Block)
      if (auto *Memory = dyn_cast<AnyMemIntrinsic>(&I); Memory && !isa<ConstantInt>(Memory->getLength()))
        Found.push_back(Memory);
  for (AnyMemIntrinsic *I : Found) {
    IRBuilder<> B(I);
    Value *Second = I->getArgOperand(1);
    if (isa<AnyMemSetInst>(I))
      Second = B.CreateZExt(Second, B.getInt32Ty());
    Type *Parameters[] = {B.getPtrTy(), Second->getType(), B.getInt64Ty()};
    auto *Signature = FunctionType::get(B.getPtrTy(), Parameters, false);
    FunctionCallee Callee = F.getParent()->getOrInsertFunction(counterpart(*I), Signature);
    Value *Length = B.CreateZExtOrTrunc(I->getLength(), B.getInt64Ty());
    CallInst *Call = B.CreateCall(Callee, {I->getRawDest(), Second, Length});
    Call->addFnAttr(Attribute::NoFree);
    Call->addFnAttr(Attribute::NoUnwind);
    if (isa<AnyMemSetInst>(I))
      Call->addParamAttr(1, Attribute::SExt);
    I->eraseFromParent();
    R.count("library.copies_of_variable_length");
  }
}

void callCheckingLibrary(Module &M, Report &R) {
  renameDeclarations(M, R);
  for (Function &F : M)
    if (!F.isDeclaration())
      callForVariableLengths(F, R);
}

} // namespace fides
