// Which values share memory, and which are never whole.
#pragma once

#include "graph.h"

namespace bitsr {

struct ValuePlan {
  int32_t slot;      // memory of the value; values whose lives do not overlap share one
  int32_t last_use;  // op index, or INT32_MAX for program outputs
  bool is_input;
  bool is_output;
  bool any_layout;  // only ops that take any layout read and write it
  bool is_window;   // written strip by strip: its slot, its own, has the rows that are still read
};

struct Plan {
  Array<ValuePlan> values;
  int32_t slot_count = 0;
  // The ops from here to the last run strip by strip; their count where there are none.
  int32_t first_strip_op = 0;
};

// False: out of memory. `graph` has passed validate().
bool make_plan(const Graph& graph, Plan* plan);

}  // namespace bitsr
