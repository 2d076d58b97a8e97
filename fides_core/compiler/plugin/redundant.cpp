// Checks that say nothing new: a forward analysis of which bytes are known to be in bounds at each place.
#include "checks.h"

#include "llvm/ADT/PostOrderIterator.h"
#include "llvm/IR/InlineAsm.h"

namespace fides {

using namespace llvm;

unsigned Keys::number(const Address &At) {
  Value *Object = objectBehind(At.Base);
  auto [Place, New] = Numbers.try_emplace({Object, Terms(At.Terms.begin(), At.Terms.end())}, Permanent.size());
  if (New)
    Permanent.push_back(Object != At.Base || isa<GlobalValue>(Object));
  return Place->second;
}

bool mayFree(const Instruction &I) {
  auto *Call = dyn_cast<CallBase>(&I);
  if (!Call || isOwn(I) || Call->hasFnAttr(Attribute::NoFree))
    return false;
  if (auto *Intrinsic = dyn_cast<IntrinsicInst>(Call))
    return Intrinsic->getIntrinsicID() == Intrinsic::stackrestore;
  return true;
}

bool isBarrier(const Instruction &I) {
  if (isa<FenceInst>(I) || I.isVolatile())
    return true;
  auto *Call = dyn_cast<CallBase>(&I);
  if (!Call || isOwn(I))
    return false;
  auto *Intrinsic = dyn_cast<IntrinsicInst>(Call);
  return !Intrinsic || Intrinsic->getIntrinsicID() == Intrinsic::trap ||
         Intrinsic->getIntrinsicID() == Intrinsic::stackrestore;
}

namespace {

/// One thing that happens in a block: a request, or the end of all objects that are not permanent.
struct Event {
  static constexpr size_t Kill = SIZE_MAX;
  size_t Number;
};

class Redundant {
public:
  using Facts = std::map<unsigned, Interval>;

  Redundant(Function &F, Keys &Known, std::vector<Request> &Requests, Report &R)
      : F(F), Known(Known), Requests(Requests), R(R) {}

  void run(std::vector<std::optional<Interval>> &Covered) {
    collect();
    solve();
    Covered.assign(Requests.size(), std::nullopt);
    for (BasicBlock &Block : F) {
      if (!In.count(&Block))
        continue; // never reached
      Facts Here = In[&Block];
      for (Event E : Events[&Block]) {
        if (E.Number != Event::Kill) {
          Request &Q = Requests[E.Number];
          if (auto Found = Here.find(Q.Key); Found != Here.end()) {
            if (Found->second.covers(Q.Extent)) {
              Q.Needed = false;
              R.count("checks.removed_by_earlier_check");
            } else {
              Covered[E.Number] = Found->second;
            }
          }
        }
        apply(E, Here);
      }
    }
  }

private:
  /// The events of each block; of requests that nothing can come between, the first takes the extent of all.
  void collect() {
    DenseMap<Instruction *, SmallVector<size_t, 2>> At;
    for (size_t Number = 0; Number < Requests.size(); ++Number)
      if (Requests[Number].Needed)
        At[Requests[Number].Before].push_back(Number);
    for (BasicBlock &Block : F) {
      auto &Here = Events[&Block];
      std::map<unsigned, size_t> First;
      for (Instruction &I : Block) {
        if (auto Found = At.find(&I); Found != At.end())
          for (size_t Number : Found->second)
            add(Number, First, Here);
        if (isBarrier(I))
          First.clear();
        if (mayFree(I))
          Here.push_back({Event::Kill});
      }
    }
  }

  void add(size_t Number, std::map<unsigned, size_t> &First, SmallVectorImpl<Event> &Here) {
    Request &Q = Requests[Number];
    auto [Place, New] = First.try_emplace(Q.Key, Number);
    if (!New) {
      Request &Earlier = Requests[Place->second];
      Interval Both = Earlier.Extent.hull(Q.Extent);
      if (Both.High - Both.Low < MaxDistance) {
        R.count(Earlier.Extent.covers(Q.Extent) ? "checks.removed_by_earlier_check" : "checks.removed_by_wider_check");
        Earlier.Extent = Both;
        Q.Needed = false;
        return;
      }
      Place->second = Number;
    }
    Here.push_back({Number});
  }

  void apply(Event E, Facts &Here) {
    if (E.Number == Event::Kill) {
      for (auto At = Here.begin(); At != Here.end();)
        At = Known.isPermanent(At->first) ? std::next(At) : Here.erase(At);
      return;
    }
    const Request &Q = Requests[E.Number];
    auto [Place, New] = Here.try_emplace(Q.Key, Q.Extent);
    if (!New) {
      Interval Both = Place->second.hull(Q.Extent);
      Place->second = Both.High - Both.Low < MaxDistance ? Both : Q.Extent;
    }
  }

  static Facts meet(const Facts &One, const Facts &Other) {
    Facts Result;
    for (const auto &[Key, Here] : One) {
      auto Found = Other.find(Key);
      if (Found == Other.end())
        continue;
      Interval Both{std::max(Here.Low, Found->second.Low), std::min(Here.High, Found->second.High)};
      if (Both.Low < Both.High)
        Result.emplace(Key, Both);
    }
    return Result;
  }

  static bool same(const Facts &One, const Facts &Other) {
    return std::equal(One.begin(), One.end(), Other.begin(), Other.end(), [](const auto &A, const auto &B) {
      return A.first == B.first && A.second.Low == B.second.Low && A.second.High == B.second.High;
    });
  }

  /// Greatest solution: blocks not seen yet say everything.
  void solve() {
    ReversePostOrderTraversal<Function *> Order(&F);
    DenseMap<BasicBlock *, Facts> Out;
    for (bool Changed = true; Changed;) {
      Changed = false;
      for (BasicBlock *Block : Order) {
        std::optional<Facts> Here;
        if (Block == &F.getEntryBlock())
          Here = Facts();
        for (BasicBlock *Before : predecessors(Block))
          if (auto Found = Out.find(Before); Found != Out.end())
            Here = Here ? meet(*Here, Found->second) : Found->second;
        Facts Result = Here ? *Here : Facts();
        In[Block] = Result;
        for (Event E : Events[Block])
          apply(E, Result);
        auto [Place, New] = Out.try_emplace(Block, Result);
        if (New || !same(Place->second, Result)) {
          Place->second = std::move(Result);
          Changed = true;
        }
      }
    }
  }

  Function &F;
  Keys &Known;
  std::vector<Request> &Requests;
  Report &R;
  DenseMap<BasicBlock *, SmallVector<Event, 4>> Events;
  DenseMap<BasicBlock *, Facts> In;
};

} // namespace

void removeRedundant(Function &F, Keys &Known, std::vector<Request> &Requests,
                     std::vector<std::optional<Interval>> &Covered, Report &R) {
  Redundant(F, Known, Requests, R).run(Covered);
}

} // namespace fides
