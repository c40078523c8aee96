//! Where a kernel reads and writes. An `In` is an address whose values are read, an `Out` one whose values are written, too.
//! Both are plain pointers in release builds. In debug builds they carry the bounds that the kernel's entry stated, and every
//! step and every access is asserted to stay within them, so that a kernel that goes astray is found by any test that runs it.
//!
//! They are not slices, because operands may be the same memory (`out` may be `x`), and because several threads write to parts
//! of one output.

use core::ops::Deref;

/// Values to be read.
#[derive(Clone, Copy)]
pub struct In<T> {
    at: *const T,
    #[cfg(debug_assertions)]
    bounds: Bounds,
}

/// Values to be read and written.
#[derive(Clone, Copy)]
pub struct Out<T>(In<T>);

/// The first address and the one past the last.
#[cfg(debug_assertions)]
#[derive(Clone, Copy)]
struct Bounds {
    low: usize,
    high: usize,
}

// SAFETY: a pointer may go to any thread; whoever reads or writes through it answers for what other threads do there.
unsafe impl<T> Send for In<T> {}
// SAFETY: as for Send.
unsafe impl<T> Sync for In<T> {}

impl<T: Copy> In<T> {
    /// `n` values at an address.
    ///
    /// # Safety
    /// They are there, initialised and aligned, as long as it or what comes of it is read.
    #[inline(always)]
    pub unsafe fn new(address: usize, n: usize) -> Self {
        In::within(address as *const T, n)
    }

    #[inline(always)]
    fn within(at: *const T, _n: usize) -> Self {
        In {
            at,
            #[cfg(debug_assertions)]
            bounds: Bounds { low: at as usize, high: at as usize + _n * size_of::<T>() },
        }
    }

    /// The values of a slice, which must outlive it.
    #[inline(always)]
    pub fn of(values: &[T]) -> Self {
        In::within(values.as_ptr(), values.len())
    }

    /// The address.
    #[inline(always)]
    pub fn ptr(self) -> *const T {
        self.at
    }

    /// Asserts in debug builds that the next `n` values lie within the bounds.
    #[inline(always)]
    #[track_caller]
    pub fn holds(self, _n: usize) {
        #[cfg(debug_assertions)]
        {
            let (at, Bounds { low, high }) = (self.at as usize, self.bounds);
            let there = at >= low && at <= high && _n.saturating_mul(size_of::<T>()) <= high - at;
            let offset = (at as isize).wrapping_sub(low as isize) / size_of::<T>() as isize;
            assert!(there, "{_n} values at {offset} of {} are out of bounds", (high - low) / size_of::<T>());
        }
    }

    /// What follows the next `n` values.
    ///
    /// # Safety
    /// As many are there.
    #[inline(always)]
    #[track_caller]
    pub unsafe fn add(self, n: usize) -> Self {
        self.holds(n);
        // SAFETY: the caller's promise; the step ends at most one past the last value.
        In { at: unsafe { self.at.add(n) }, ..self }
    }

    /// The same, wherever that may be: nothing can be read there unless it lies within the bounds.
    #[inline(always)]
    pub fn wrapping_add(self, n: usize) -> Self {
        In { at: self.at.wrapping_add(n), ..self }
    }

    /// The same bytes as values of another type.
    #[inline(always)]
    pub fn cast<U: Copy>(self) -> In<U> {
        In {
            at: self.at as *const U,
            #[cfg(debug_assertions)]
            bounds: self.bounds,
        }
    }

    /// Value `i`.
    ///
    /// # Safety
    /// It is one of those that are there.
    #[inline(always)]
    #[track_caller]
    pub unsafe fn at(self, i: usize) -> T {
        self.wrapping_add(i).holds(1);
        // SAFETY: the caller's promise.
        unsafe { *self.at.add(i) }
    }

    /// The first value, wherever it lies among others.
    ///
    /// # Safety
    /// It is there, though it need not be aligned.
    #[inline(always)]
    #[track_caller]
    pub unsafe fn unaligned(self) -> T {
        self.holds(1);
        // SAFETY: the caller's promise.
        unsafe { self.at.read_unaligned() }
    }

    /// The next `n` values.
    ///
    /// # Safety
    /// They are there, and nobody writes to them while the slice lives.
    #[inline(always)]
    #[track_caller]
    pub unsafe fn slice<'a>(self, n: usize) -> &'a [T] {
        self.holds(n);
        // SAFETY: the caller's promise; the values are initialised and aligned by that of `new`.
        unsafe { core::slice::from_raw_parts(self.at, n) }
    }
}

impl<T> Deref for Out<T> {
    type Target = In<T>;
    #[inline(always)]
    fn deref(&self) -> &In<T> {
        &self.0
    }
}

impl<T: Copy> Out<T> {
    /// Room for `n` values at an address.
    ///
    /// # Safety
    /// It is there, aligned, as long as it or what comes of it is written to, and none else reads or writes what this thread
    /// writes. What has not been written is not read.
    #[inline(always)]
    pub unsafe fn new(address: usize, n: usize) -> Self {
        Out(In::within(address as *const T, n))
    }

    /// The values of a slice, which must outlive it.
    #[inline(always)]
    pub fn of(values: &mut [T]) -> Self {
        Out(In::within(values.as_mut_ptr(), values.len()))
    }

    /// Room on the stack, which must outlive it.
    #[inline(always)]
    pub fn room<const N: usize>(values: &mut core::mem::MaybeUninit<[T; N]>) -> Self {
        Out(In::within(values.as_mut_ptr() as *const T, N))
    }

    /// The address.
    #[inline(always)]
    pub fn ptr(self) -> *mut T {
        self.0.at as *mut T
    }

    /// What follows the next `n` values.
    ///
    /// # Safety
    /// As many are there.
    #[inline(always)]
    #[track_caller]
    pub unsafe fn add(self, n: usize) -> Self {
        // SAFETY: the caller's promise.
        Out(unsafe { self.0.add(n) })
    }

    /// The same, wherever that may be: nothing can be written there unless it lies within the bounds.
    #[inline(always)]
    pub fn wrapping_add(self, n: usize) -> Self {
        Out(self.0.wrapping_add(n))
    }

    /// The next `n` values without those behind them.
    ///
    /// # Safety
    /// As many are there.
    #[inline(always)]
    #[track_caller]
    pub unsafe fn first(self, n: usize) -> Self {
        self.holds(n);
        Out(In::within(self.0.at, n))
    }

    /// The same bytes as values of another type.
    #[inline(always)]
    pub fn cast<U: Copy>(self) -> Out<U> {
        Out(self.0.cast())
    }

    /// Writes value `i`.
    ///
    /// # Safety
    /// It is one of those that are there.
    #[inline(always)]
    #[track_caller]
    pub unsafe fn put(self, i: usize, value: T) {
        self.wrapping_add(i).holds(1);
        // SAFETY: the caller's promise.
        unsafe { *self.ptr().add(i) = value }
    }

    /// Writes the first value, wherever it lies among others.
    ///
    /// # Safety
    /// It is there, though it need not be aligned.
    #[inline(always)]
    #[track_caller]
    pub unsafe fn put_unaligned(self, value: T) {
        self.holds(1);
        // SAFETY: the caller's promise.
        unsafe { self.ptr().write_unaligned(value) }
    }

    /// Writes the next `n` values.
    ///
    /// # Safety
    /// They are there.
    #[inline(always)]
    #[track_caller]
    pub unsafe fn fill(self, n: usize, value: T) {
        // SAFETY: the caller's promise; nobody else writes here by that of `new`, and the slice is gone at once.
        unsafe { self.slice_mut(n) }.fill(value);
    }

    /// Copies the next `n` values, which may be in part the same memory.
    ///
    /// # Safety
    /// They are there on both sides.
    #[inline(always)]
    #[track_caller]
    pub unsafe fn copy_over(self, from: In<T>, n: usize) {
        self.holds(n);
        from.holds(n);
        // SAFETY: the caller's promise.
        unsafe { core::ptr::copy(from.at, self.ptr(), n) }
    }

    /// Copies the next `n` values from elsewhere.
    ///
    /// # Safety
    /// They are there on both sides, which do not overlap.
    #[inline(always)]
    #[track_caller]
    pub unsafe fn copy(self, from: In<T>, n: usize) {
        self.holds(n);
        from.holds(n);
        // SAFETY: the caller's promise.
        unsafe { core::ptr::copy_nonoverlapping(from.at, self.ptr(), n) }
    }

    /// The next `n` values.
    ///
    /// # Safety
    /// They are there, and nobody else reads or writes them while the slice lives.
    #[inline(always)]
    #[track_caller]
    pub unsafe fn slice_mut<'a>(self, n: usize) -> &'a mut [T] {
        self.holds(n);
        // SAFETY: the caller's promise.
        unsafe { core::slice::from_raw_parts_mut(self.ptr(), n) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_and_accesses_within_the_bounds_pass() {
        let mut values = [1.0f32, 2.0, 3.0];
        let out = Out::of(&mut values);
        // SAFETY: three values are there.
        unsafe {
            out.put(2, out.at(0) + out.add(1).at(0));
            out.add(3).holds(0);
            out.add(1).copy(In::of(&[5.0, 6.0]), 2);
            assert_eq!(out.slice(3), [1.0, 5.0, 6.0]);
            out.copy_over(*out.add(1), 2);
        }
        assert_eq!(values, [5.0, 6.0, 6.0]);
    }

    #[test]
    #[should_panic(expected = "1 values at 3 of 3 are out of bounds")]
    fn reading_past_the_end_panics() {
        // SAFETY: it panics before it reads.
        unsafe { In::of(&[1.0f32, 2.0, 3.0]).at(3) };
    }

    #[test]
    #[should_panic(expected = "4 values at 0 of 3 are out of bounds")]
    fn stepping_past_the_end_panics() {
        // SAFETY: it panics before it steps.
        unsafe { In::of(&[1.0f32, 2.0, 3.0]).add(4) };
    }

    #[test]
    #[should_panic(expected = "1 values at -1 of 3 are out of bounds")]
    fn writing_before_the_beginning_panics() {
        // SAFETY: it panics before it writes.
        unsafe { Out::of(&mut [1.0f32, 2.0, 3.0]).wrapping_add(usize::MAX).put(0, 1.0) };
    }

    #[test]
    #[should_panic(expected = "2 values at 1 of 2 are out of bounds")]
    fn bounds_are_those_of_the_bytes_after_a_cast() {
        // SAFETY: it panics before it makes the slice.
        unsafe { In::of(&[0u16; 4]).cast::<u32>().add(1).slice(2) };
    }

    #[test]
    #[should_panic(expected = "3 values at 1 of 3 are out of bounds")]
    fn copying_more_than_there_is_room_for_panics() {
        // SAFETY: it panics before it copies.
        unsafe { Out::of(&mut [0.0f32; 3]).add(1).copy(In::of(&[0.0; 3]), 3) };
    }
}
