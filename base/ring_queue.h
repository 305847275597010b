// A first-in-first-out queue in one block of memory, which it keeps: std::deque asks the heap for a
// block every few hundred bytes that pass through it, and this does so only when it grows.
//
// A value. T is default-constructible and movable; what was popped is replaced by a fresh T.
#pragma once

#include <cstddef>
#include <utility>
#include <vector>

namespace duramen {

template <typename T>
class RingQueue {
 public:
  bool empty() const { return size_ == 0; }
  std::size_t size() const { return size_; }
  T& operator[](std::size_t i) { return slots_[(head_ + i) & (slots_.size() - 1)]; }
  const T& operator[](std::size_t i) const { return slots_[(head_ + i) & (slots_.size() - 1)]; }
  T& front() { return (*this)[0]; }
  const T& front() const { return (*this)[0]; }
  T& back() { return (*this)[size_ - 1]; }
  const T& back() const { return (*this)[size_ - 1]; }

  void push_back(T value) {
    if (size_ == slots_.size()) Grow();
    ++size_;
    back() = std::move(value);
  }
  void pop_front() {
    front() = T();
    head_ = (head_ + 1) & (slots_.size() - 1);
    --size_;
  }
  void pop_back() {
    back() = T();
    --size_;
  }
  void clear() {
    while (!empty()) pop_back();
  }

 private:
  void Grow() {
    std::vector<T> larger(slots_.empty() ? 16 : 2 * slots_.size());
    for (std::size_t i = 0; i < size_; ++i) larger[i] = std::move((*this)[i]);
    slots_ = std::move(larger);
    head_ = 0;
  }

  std::vector<T> slots_;  // a power of two, or none
  std::size_t head_ = 0;
  std::size_t size_ = 0;
};

}  // namespace duramen
