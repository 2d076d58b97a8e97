// The instructions of the extension as inline assembly; their encodings are in the generated encodings.h.
#include "encodings.h"
#include "pass.h"

#include "llvm/IR/InlineAsm.h"

#include <cstdlib>

namespace fides {

using namespace llvm;

/// Names the statements of this pass; the step that adds landing pads reads it at mint.
static constexpr const char *Mark = " # fides";

CallInst *Instructions::call(StringRef Text, StringRef Constraints, Type *Result, ArrayRef<Value *> Arguments,
                             bool SideEffects, bool Memory) {
  SmallVector<Type *, 3> Types;
  for (Value *Argument : Arguments)
    Types.push_back(Argument->getType());
  auto *Signature = FunctionType::get(Result, Types, false);
  auto *Asm = InlineAsm::get(Signature, (Text + Mark).str(), Constraints, SideEffects);
  CallInst *Call = B.CreateCall(Signature, Asm, Arguments);
  Call->addFnAttr(Attribute::NoUnwind);
  if (!SideEffects) {
    Call->setDoesNotAccessMemory();
    Call->addFnAttr(Attribute::WillReturn);
  }
  if (SideEffects && !Memory)
    Call->setOnlyAccessesInaccessibleMemory(); // the table, which no C pointer reaches
  return Call;
}

static const encodings::Sized &sized(const encodings::Sized (&Table)[5], unsigned Bytes) {
  for (const auto &Row : Table)
    if (Row.Bytes == Bytes)
      return Row;
  std::abort(); // callers ask for sizes that accessSizes() has
}

CallInst *Instructions::val(Value *Base, Value *Offset, unsigned Bytes) {
  return call(sized(encodings::Val, Bytes).Text, "=r,r,r", B.getPtrTy(), {Base, Offset}, true, false);
}

CallInst *Instructions::vali(Value *Base, int64_t Offset, unsigned Bytes) {
  std::string Text = sized(encodings::Vali, Bytes).Text;
  Text.replace(Text.find("{immediate}"), 11, std::to_string(Offset));
  return call(Text, "r", B.getVoidTy(), {Base}, true, false);
}

CallInst *Instructions::ptradd(Value *Base, Value *Offset) {
  return call(encodings::Ptradd, "=r,r,r", B.getPtrTy(), {Base, Offset}, false, false);
}

CallInst *Instructions::mint(Value *Base, Value *Bytes) {
  return call(encodings::Mint, "=r,r,r,~{memory}", B.getPtrTy(), {Base, Bytes}, true, true);
}

Value *Instructions::readMark() { return call(encodings::ReadMark, "=r,~{memory}", B.getInt64Ty(), {}, true, true); }

void Instructions::restoreMark(Value *Saved) {
  call(encodings::RestoreMark, "r,~{memory}", B.getVoidTy(), {Saved}, true, true);
}

void Instructions::disarm() { call(encodings::Disarm, "~{memory}", B.getVoidTy(), {}, true, true); }

void Instructions::clear(unsigned FirstArgument) {
  std::string Text = ".Lfides_clear${:uid}:", Clobbers;
  auto Zero = [&](const std::string &Register) {
    Text += "\n\tli " + Register + ", 0";
    Clobbers += (Clobbers.empty() ? "~{" : ",~{") + Register + "}";
  };
  for (unsigned Number = 0; Number < 7; ++Number)
    Zero("t" + std::to_string(Number));
  for (unsigned Number = FirstArgument; Number < 8; ++Number)
    Zero("a" + std::to_string(Number));
  Text += "\n.Lfides_cleared${:uid}:\n\t.pushsection .fides.clears,\"\",@progbits\n\t.dword .Lfides_clear${:uid}"
          "\n\t.word .Lfides_cleared${:uid} - .Lfides_clear${:uid}, 0\n\t.popsection";
  call(Text, Clobbers, B.getVoidTy(), {}, true, false);
}

bool fitsImmediate(int64_t Offset) { return isInt<12>(Offset); }

bool isOwn(const Instruction &I) {
  auto *Call = dyn_cast<CallInst>(&I);
  auto *Asm = Call ? dyn_cast<InlineAsm>(Call->getCalledOperand()) : nullptr;
  return Asm && StringRef(Asm->getAsmString()).ends_with(Mark);
}

} // namespace fides
