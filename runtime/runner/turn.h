// Who may use a session now: one call at a time, and the steps of one thread.
#pragma once

#include <sys/types.h>
#include <unistd.h>

#include <atomic>
#include <memory>
#include <mutex>
#include <thread>

#include "outcome.h"

namespace bitsr {

class Turns {
 public:
  Turns() = default;
  ~Turns() { delete line_.load(); }
  Turns(const Turns&) = delete;
  Turns& operator=(const Turns&) = delete;

  // Waits for the calls of other threads; end() after success. A call from within a call (a callback) is refused, and
  // in a forked child everything where the parent was in a call.
  Outcome begin() {
    Line* line = line_here();
    if (line->broken)
      return failed(ErrorKind::unsupported,
                    "the process forked while a thread used this session; open a session in the child");
    if (holder_.load() == std::this_thread::get_id())
      return failed(ErrorKind::argument, "the session was called from its own callback, which it waits for");
    line->mutex.lock();
    line->in_call.store(true);
    holder_.store(std::this_thread::get_id());
    return {};
  }
  void end() {
    holder_.store({});
    Line* line = line_.load();
    line->in_call.store(false);
    line->mutex.unlock();
  }

  // Whether this process opened the session.
  bool at_home() const { return getpid() == opener_; }

  // Within a turn: the thread whose input the network has. Only that one may go on with the steps of a run.
  void own_steps() { steps_ = std::this_thread::get_id(); }
  bool owns_steps() const { return steps_ == std::this_thread::get_id(); }

 private:
  // Where the threads of one process wait. A child of fork() gets its own: the parent's mutex may be held for ever.
  struct Line {
    const pid_t process = getpid();
    bool broken = false;  // the network was left in the middle of a call
    std::mutex mutex;
    std::atomic<bool> in_call{false};
  };

  Line* line_here() {
    Line* line = line_.load();
    if (line->process == getpid()) return line;
    auto own = std::make_unique<Line>();
    own->broken = line->broken || line->in_call.load();
    // The parent's stays: a held mutex must not be destroyed.
    if (line_.compare_exchange_strong(line, own.get())) {
      holder_.store({});
      return own.release();
    }
    return line;
  }

  const pid_t opener_ = getpid();
  std::atomic<Line*> line_{new Line()};
  std::atomic<std::thread::id> holder_{std::thread::id{}};
  std::thread::id steps_{};
};

}  // namespace bitsr
