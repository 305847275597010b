// Random histories over flushes, crashes and faults, against a model of what was acknowledged: each
// index of each log, its term and bytes, bounds and votes.
#include <gtest/gtest.h>

#include <map>

#include "base/bytes.h"
#include "base/rng.h"
#include "tests/log/flush_machine.h"

namespace duramen::log {
namespace {

constexpr std::uint64_t kSeeds = 60;
constexpr int kSteps = 400;

struct ModelLog {
  Index begin = 1;
  std::vector<std::pair<Term, std::string>> entries;
  Term term_before_begin = 0;
  Term term = 1;
  Term vote = 0;
  Index end() const { return begin + entries.size(); }
};

class History {
 public:
  explicit History(std::uint64_t seed) : rng_(seed + 99) {
    UseSmallFiles(machine_);
    machine_.options.segment_max_entries = 5 + rng_.Below(8);
    machine_.Start();
  }

  void Step() {
    const std::string name(1, static_cast<char>('a' + rng_.Below(4)));
    if (rng_.OneIn(12)) ScheduleFault();
    const std::uint64_t what = rng_.Below(20);
    if (what < 2) {
      what == 0 ? machine_.Kill() : machine_.PowerLoss();
      ASSERT_NO_FATAL_FAILURE(Restart());
    } else if (what < 10 || !model_.contains(name)) {
      Append(name);
    } else {
      ASSERT_NO_FATAL_FAILURE(Change(name, what));
    }
    LetOthersRun();
    ASSERT_NO_FATAL_FAILURE(CheckContents());
  }

 private:
  void ScheduleFault() {
    const bool sync = rng_.OneIn(2);
    machine_.disk().Schedule({.kind = sync ? sim::OpKind::kSyncData : sim::OpKind::kWrite,
                              .file_class = sync || rng_.OneIn(2) ? "#.seg" : "checkpoint-",
                              .skip = rng_.Below(6),
                              .times = 1 + rng_.Below(2),
                              .effect = sim::FaultEffect::kIoError});
  }

  void Restart() {
    machine_.Start();
    const RecoveryReport& report = machine_.store().recovery_report();
    ASSERT_FALSE(report.damaged()) << report.ToText();
    ASSERT_EQ(machine_.store().Logs().size(), model_.size());
    for (const LogInfo& info : machine_.store().Logs()) {
      ASSERT_TRUE(model_.contains(info.name));
      ASSERT_FALSE(info.faulty);
      const ModelLog& model = model_[info.name];
      const Bounds bounds = machine_.store().BoundsOf(info.log).value();
      ASSERT_EQ(bounds.begin, model.begin) << info.name;
      ASSERT_EQ(bounds.end, model.end()) << info.name;
      ASSERT_EQ(machine_.store().TermAt(info.log, model.begin - 1).value(),
                model.term_before_begin);
      ASSERT_EQ(machine_.store().VoteOf(info.log)->term, model.vote);
    }
  }

  void Append(const std::string& name) {
    const LogRef log = machine_.Log(name);
    ModelLog& model = model_[name];
    model.term += rng_.OneIn(4) ? 1 : 0;
    const std::string text = NextText() + std::string(rng_.Below(3000), 'p');
    machine_.Write(log, model.end(), model.term, {text, text});
    model.entries.insert(model.entries.end(), 2, {model.term, text});
  }

  void Change(const std::string& name, std::uint64_t what) {
    const LogRef log = machine_.Log(name);
    ModelLog& model = model_[name];
    if (what <= 11 && !model.entries.empty()) {
      const Index at = model.begin + rng_.Below(model.entries.size());
      model.entries.resize(at - model.begin);
      if (what == 11) return Wait(machine_.writer().TruncateSuffix(log, at));
      model.entries.emplace_back(++model.term, NextText());
      machine_.Write(log, at, model.term, {model.entries.back().second});
    } else if (what == 12 || what == 13) {
      const Index at = model.begin + rng_.Below(model.entries.size() + 1);
      const auto count = static_cast<std::ptrdiff_t>(at - model.begin);
      if (count > 0) model.term_before_begin = model.entries[at - model.begin - 1].first;
      model.entries.erase(model.entries.begin(), model.entries.begin() + count);
      model.begin = at;
      Wait(machine_.writer().TruncatePrefix(log, at));
    } else if (what == 14 && rng_.OneIn(3)) {
      ++model.term;
      model.begin = 2 + rng_.Below(60);
      model.term_before_begin = model.term;
      model.entries.clear();
      Wait(machine_.writer().Reset(log, model.begin, model.term));
    } else if (what == 15 && rng_.OneIn(2)) {
      Wait(machine_.store().DeleteLog(machine_.writer(), log));
      model_.erase(name);
    } else if (what == 16) {
      Wait(machine_.writer().PutVote(log, ++model.vote, "n"));
    }
  }

  void Wait(const Result<Ticket>& ticket) {
    ASSERT_TRUE(ticket.ok()) << ticket.error().message;
    ASSERT_TRUE(machine_.Wait(*ticket).ok());
  }

  /// The WAL, its pool and the flusher are somewhere in their work at the next step.
  void LetOthersRun() {
    const std::uint64_t draw = rng_.Below(4);
    if (draw == 0) machine_.Settle();
    if (draw == 1) {
      for (std::uint64_t left = rng_.Below(30); left > 0; --left) {
        (void)machine_.executor().RunOne();
      }
    }
    if (draw == 2 && rng_.OneIn(3)) machine_.DropWriters();
  }

  void CheckContents() {
    for (const auto& [name, model] : model_) {
      const std::vector<std::string> got = machine_.Contents(name);
      ASSERT_EQ(got.size(), model.entries.size()) << name;
      for (std::size_t i = 0; i < got.size(); ++i) {
        const auto& [term, text] = model.entries[i];
        ASSERT_EQ(got[i], std::to_string(model.begin + i) + ":" + std::to_string(term) + ":" + text)
            << name;
      }
    }
  }

  std::string NextText() { return "x" + std::to_string(serial_++); }

  Rng rng_;
  Machine machine_;
  std::map<std::string, ModelLog> model_;
  int serial_ = 0;
};

TEST(History, A8_C8_WhatWasAcknowledgedIsThereAfterFlushesAndCrashes) {
  for (std::uint64_t seed = 0; seed < kSeeds; ++seed) {
    History history(seed);
    for (int step = 0; step < kSteps; ++step) {
      SCOPED_TRACE(::testing::Message() << "seed " << seed << " step " << step);
      ASSERT_NO_FATAL_FAILURE(history.Step());
    }
  }
}

}  // namespace
}  // namespace duramen::log
