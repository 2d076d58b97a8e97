// What collects, removes and inserts checks has in common.
#pragma once

#include "pass.h"

namespace fides {

/// Bytes Low <= x < High relative to a key's address.
struct Interval {
  int64_t Low, High;
  bool covers(const Interval &Other) const { return Low <= Other.Low && Other.High <= High; }
  Interval hull(const Interval &Other) const { return {std::min(Low, Other.Low), std::max(High, Other.High)}; }
};

/// Two checks of one object with the same base say the same about all between them, as far as nothing wraps: objects
/// are smaller than 2^24 bytes, and distances are kept below this.
constexpr int64_t MaxDistance = 1 << 28;

/// A check that is wanted: the bytes `Extent` relative to the address of `Key`, before `Before`.
struct Request {
  llvm::Instruction *Before;
  std::optional<Access> Of; // none: hoisted out of a loop
  Address At;
  unsigned Key;
  Interval Extent;
  bool Needed = true;
};

/// Bases with scaled terms, by number.
class Keys {
public:
  unsigned number(const Address &At);
  /// Whether the object lives as long as the function runs: no call can end it.
  bool isPermanent(unsigned Key) const { return Permanent[Key]; }

private:
  using Terms = std::vector<std::pair<llvm::Value *, int64_t>>;
  std::map<std::pair<llvm::Value *, Terms>, unsigned> Numbers;
  std::vector<bool> Permanent;
};

/// Whether `I` may end the life of objects that are not permanent.
bool mayFree(const llvm::Instruction &I);
/// Whether what follows `I` may not be reached, or `I` does something that can be seen from outside.
bool isBarrier(const llvm::Instruction &I);

/// Moves checks out of loops; adds requests in preheaders to `Requests`, marks those that are no longer needed.
void hoistFromLoops(llvm::Function &F, Analyses &A, Keys &Known, std::vector<Request> &Requests,
                    llvm::SmallVectorImpl<CheckedPointer> &Checked, Report &R);

/// Joins checks in straight code and marks those that earlier ones cover. Requests are in the order of their blocks.
/// `Covered`: what is known at each one that is still needed, if anything.
void removeRedundant(llvm::Function &F, Keys &Known, std::vector<Request> &Requests,
                     std::vector<std::optional<Interval>> &Covered, Report &R);

} // namespace fides
