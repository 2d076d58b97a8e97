// Calls of functions that were compiled without checks: what they will touch is checked before.
#include "pass.h"

#include "llvm/ADT/StringMap.h"

#include <cstdlib>

namespace fides {

using namespace llvm;

/// Lines of contracts.txt, read and checked by the driver: a function, and a word for each argument.
static constexpr const char *ContractsVariable = "FIDES_CC_CONTRACTS";

namespace {

using Contract = SmallVector<StringRef, 8>;

class Caller {
public:
  Caller(CallInst &Call, const Contract &Words) : Call(Call), Words(Words), B(&Call) {}

  void check() {
    for (unsigned Number = 0; Number < Call.arg_size(); ++Number) {
      StringRef Word = word(Number);
      if (!Word.empty() && Word != "-" && Call.getArgOperand(Number)->getType()->isPointerTy())
        checkArgument(Call.getArgOperand(Number), Word);
    }
  }

private:
  StringRef word(unsigned Number) const {
    if (Words.empty())
      return "";
    StringRef Last = Words.back();
    if (Last.ends_with("...") && Number + 1 >= Words.size())
      return Last.drop_back(3);
    return Number < Words.size() ? Words[Number] : "";
  }

  void checkArgument(Value *Pointer, StringRef Word) {
    Value *MayBeNull = B.getInt32(Word.consume_front("?"));
    if (Word == "string")
      insert("__fides_valid_string", {Pointer, MayBeNull});
    else if (Word == "wide")
      insert("__fides_valid_wide", {Pointer, MayBeNull});
    else if (Word == "pointer")
      insert("__fides_valid_extent", {Pointer, B.getInt64(1), B.getInt64(1), MayBeNull});
    else if (Word.consume_front("like"))
      insert("__fides_valid_like", {Pointer, argument(Word)});
    else {
      auto [First, Second] = Word.split('*');
      insert("__fides_valid_extent", {Pointer, number(First), Second.empty() ? B.getInt64(1) : number(Second), MayBeNull});
    }
  }

  /// The argument that "$3" names; one that the call has not is none of the function's.
  Value *argument(StringRef Word) {
    unsigned Number = 0;
    Word.drop_front().getAsInteger(10, Number);
    return Number - 1 < Call.arg_size() ? Call.getArgOperand(Number - 1) : Constant::getNullValue(B.getPtrTy());
  }

  /// Negative ones are as large as anything: sizes are unsigned.
  Value *number(StringRef Word) {
    if (Word.starts_with("$")) {
      Value *Argument = argument(Word);
      return Argument->getType()->isIntegerTy() ? B.CreateSExtOrTrunc(Argument, B.getInt64Ty()) : B.getInt64(1);
    }
    uint64_t Bytes = 0;
    Word.getAsInteger(10, Bytes);
    return B.getInt64(Bytes);
  }

  void insert(StringRef Function, ArrayRef<Value *> Arguments) {
    SmallVector<Type *, 4> Types;
    for (Value *Argument : Arguments)
      Types.push_back(Argument->getType());
    auto *Signature = FunctionType::get(B.getVoidTy(), Types, false);
    CallInst *Check = B.CreateCall(Call.getModule()->getOrInsertFunction(Function, Signature), Arguments);
    Check->addFnAttr(Attribute::NoFree);
    Check->addFnAttr(Attribute::NoUnwind);
  }

  CallInst &Call;
  const Contract &Words;
  IRBuilder<> B;
};

} // namespace

void checkPrebuiltCalls(Module &M, Report &R) {
  const char *Text = std::getenv(ContractsVariable);
  if (!Text)
    return;
  SmallVector<StringRef> Lines;
  StringRef(Text).split(Lines, '\n', -1, false);
  for (StringRef Line : Lines) {
    auto [Name, Rest] = Line.split(' ');
    Function *F = M.getFunction(Name);
    if (!F || !F->isDeclaration())
      continue;
    Contract Words;
    Rest.split(Words, ' ', -1, false);
    for (User *U : make_early_inc_range(F->users()))
      if (auto *Call = dyn_cast<CallInst>(U); Call && Call->getCalledOperand() == F) {
        Caller(*Call, Words).check();
        R.count("library.calls_with_contract");
      }
  }
}

} // namespace fides
