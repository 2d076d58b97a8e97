// What LLVM knows about a program holds as long as the program keeps the rules of C. A check has to hold when it does
// not, so everything that follows from the rules alone is forgotten before any check is found superfluous.
#include "pass.h"

#include "llvm/IR/AttributeMask.h"
#include "llvm/IR/ReplaceConstant.h"

namespace fides {

using namespace llvm;

/// Attributes of functions and calls that inserted checks make wrong, or that only hold for programs without errors.
static void forgetFunctionAttributes(AttributeMask &Mask) {
  for (auto Kind : {Attribute::Memory, Attribute::Speculatable, Attribute::WillReturn, Attribute::MustProgress})
    Mask.addAttribute(Kind);
}

static AttributeMask valueAttributes() {
  AttributeMask Mask;
  for (auto Kind : {Attribute::Dereferenceable, Attribute::DereferenceableOrNull, Attribute::NonNull,
                    Attribute::NoUndef, Attribute::Alignment, Attribute::ReadNone, Attribute::ReadOnly,
                    Attribute::WriteOnly, Attribute::NoAlias, Attribute::NoCapture, Attribute::Range,
                    Attribute::Returned})
    Mask.addAttribute(Kind);
  return Mask;
}

static AttributeList withoutPromises(LLVMContext &Context, AttributeList List, unsigned Parameters) {
  AttributeMask Function;
  forgetFunctionAttributes(Function);
  AttributeMask Values = valueAttributes();
  List = List.removeFnAttributes(Context, Function).removeRetAttributes(Context, Values);
  for (unsigned Number = 0; Number < Parameters; ++Number)
    List = List.removeParamAttributes(Context, Number, Values);
  return List;
}

/// Alignments that copies and fills are said to have stay: they choose instructions, as those of loads and stores do, which
/// trap when they are wrong. No analysis draws conclusions about addresses from them.
static void forgetPromises(CallBase &Call) {
  MaybeAlign To, From;
  auto *Memory = dyn_cast<AnyMemIntrinsic>(&Call);
  auto *Transfer = dyn_cast<AnyMemTransferInst>(&Call);
  if (Memory)
    To = Memory->getDestAlign();
  if (Transfer)
    From = Transfer->getSourceAlign();
  Call.setAttributes(withoutPromises(Call.getContext(), Call.getAttributes(), Call.arg_size()));
  if (To)
    Memory->setDestAlignment(*To);
  if (From)
    Transfer->setSourceAlignment(*From);
}

/// A caller in another compartment need not extend what it passes: the function does it again.
static void forgetExtension(Function &F) {
  if (F.hasLocalLinkage() && !F.hasAddressTaken())
    return;
  for (Argument &A : F.args()) {
    A.removeAttr(Attribute::ZExt);
    A.removeAttr(Attribute::SExt);
  }
}

static void forgetLoopPromises(Instruction &I) {
  MDNode *Loop = I.getMetadata(LLVMContext::MD_loop);
  if (!Loop)
    return;
  SmallVector<Metadata *, 4> Kept{nullptr};
  for (const MDOperand &Operand : drop_begin(Loop->operands())) {
    auto *Node = dyn_cast<MDNode>(Operand);
    auto *Name = Node && Node->getNumOperands() ? dyn_cast<MDString>(Node->getOperand(0)) : nullptr;
    if (!Name || Name->getString() != "llvm.loop.mustprogress")
      Kept.push_back(Operand);
  }
  MDNode *New = MDNode::getDistinct(I.getContext(), Kept);
  New->replaceOperandWith(0, New);
  I.setMetadata(LLVMContext::MD_loop, New);
}

/// A switch whose values are "all there are" would jump through a table without looking at its bounds.
static void trapInUnreachableDefault(SwitchInst &Switch, Report &R) {
  BasicBlock *Default = Switch.getDefaultDest();
  if (!isa<UnreachableInst>(Default->getFirstNonPHIOrDbg()))
    return;
  IRBuilder<> B(Default->getTerminator());
  B.CreateIntrinsic(Intrinsic::trap, {}, {});
  R.count("switches.trap_for_values_without_case");
}

static void prepareFunction(Function &F, Report &R) {
  forgetExtension(F);
  SmallVector<Instruction *> Gone;
  for (BasicBlock &Block : F)
    for (Instruction &I : Block) {
      I.dropPoisonGeneratingFlags();
      for (unsigned Kind : {LLVMContext::MD_range, LLVMContext::MD_nonnull, LLVMContext::MD_noundef,
                            LLVMContext::MD_align, LLVMContext::MD_dereferenceable,
                            LLVMContext::MD_dereferenceable_or_null, LLVMContext::MD_invariant_load,
                            LLVMContext::MD_invariant_group, LLVMContext::MD_noalias, LLVMContext::MD_alias_scope})
        I.setMetadata(Kind, nullptr);
      forgetLoopPromises(I);
      if (auto *Call = dyn_cast<CallBase>(&I))
        forgetPromises(*Call);
      if (auto *Intrinsic = dyn_cast<IntrinsicInst>(&I))
        if (Intrinsic->isAssumeLikeIntrinsic() && Intrinsic->getIntrinsicID() == Intrinsic::assume)
          Gone.push_back(Intrinsic);
    }
  for (Instruction *I : Gone)
    I->eraseFromParent();
  for (BasicBlock &Block : F)
    if (auto *Switch = dyn_cast<SwitchInst>(Block.getTerminator()))
      trapInUnreachableDefault(*Switch, R);
}

/// One address for each object, where the linker can find it: names for all, no merging of what differs in use.
static void nameObjects(Module &M) {
  unsigned Number = 0;
  for (GlobalVariable &G : M.globals()) {
    if (G.getName().starts_with("llvm."))
      continue;
    if (!G.hasName())
      G.setName("__fides_object." + Twine(Number++));
    if (G.hasPrivateLinkage())
      G.setLinkage(GlobalValue::InternalLinkage);
    if (G.hasLocalLinkage() && G.getName().starts_with("."))
      G.setName("__fides_constant" + G.getName());
    G.setUnnamedAddr(GlobalValue::UnnamedAddr::None); // in no section whose contents the linker merges
  }
}

void prepare(Module &M, Report &R) {
  nameObjects(M);
  SmallVector<Constant *> Objects;
  for (GlobalVariable &G : M.globals())
    if (!G.getName().starts_with("llvm."))
      Objects.push_back(&G);
  for (GlobalAlias &A : M.aliases())
    if (isa_and_nonnull<GlobalVariable>(A.getAliaseeObject()))
      Objects.push_back(&A);
  for (Function &F : M) {
    if (F.isIntrinsic())
      continue;
    F.setAttributes(withoutPromises(M.getContext(), F.getAttributes(), F.arg_size()));
    if (F.isDeclaration())
      continue;
    prepareFunction(F, R);
    convertUsersOfConstantsToInstructions(Objects, &F, false);
  }
}

} // namespace fides
