//! Broadcasting walks. A spec is words in memory, each as wide as an address: rank, then the sizes, then one row of strides (in elements, 0 where
//! the operand is repeated) for each operand. The caller merged axes, so the last axis is a run with strides 0 or 1.

use crate::span::In;

const MAX_RANK: usize = 16;

pub struct Spec<const K: usize> {
    rank: usize,
    sizes: [usize; MAX_RANK],
    strides: [[usize; MAX_RANK]; K],
}

impl<const K: usize> Spec<K> {
    /// Reads a spec.
    ///
    /// # Safety
    /// It lies there whole: 1 + rank · (1 + K) words, of a rank of 1 to 16.
    pub unsafe fn read(pointer: usize) -> Self {
        // SAFETY: the rank is the first word, and says how many there are.
        let (rank, words) = unsafe {
            let rank = In::<usize>::new(pointer, 1).at(0);
            (rank, In::<usize>::new(pointer, 1 + rank * (1 + K)))
        };
        assert!((1..=MAX_RANK).contains(&rank), "a spec of rank {rank}");
        let mut spec = Spec { rank, sizes: [1; MAX_RANK], strides: [[0; MAX_RANK]; K] };
        for axis in 0..rank {
            // SAFETY: axis < rank and operand < K, so that the words read are among them.
            unsafe {
                spec.sizes[axis] = words.at(1 + axis);
                for operand in 0..K {
                    spec.strides[operand][axis] = words.at(1 + (1 + operand) * rank + axis);
                }
            }
        }
        spec
    }

    /// How many elements of an operand lie between the first and the last that the walk reaches, both included.
    pub fn reach(&self, operand: usize) -> usize {
        if self.count() == 0 {
            return 0;
        }
        (0..self.rank).map(|axis| (self.sizes[axis] - 1) * self.strides[operand][axis]).sum::<usize>() + 1
    }

    pub fn count(&self) -> usize {
        self.sizes[..self.rank].iter().product()
    }

    /// Strides along the last axis.
    pub fn inner(&self) -> [usize; K] {
        core::array::from_fn(|operand| self.strides[operand][self.rank - 1])
    }

    /// Calls `f(offsets, position, length)` for the runs of elements start..end of the output.
    #[inline(always)]
    pub fn runs(&self, start: usize, end: usize, mut f: impl FnMut([usize; K], usize, usize)) {
        let last = self.rank - 1;
        let mut index = [0usize; MAX_RANK];
        let mut rest = start;
        for axis in (0..self.rank).rev() {
            index[axis] = rest % self.sizes[axis];
            rest /= self.sizes[axis];
        }
        let mut offsets: [usize; K] =
            core::array::from_fn(|operand| (0..self.rank).map(|axis| index[axis] * self.strides[operand][axis]).sum());
        let mut position = start;
        while position < end {
            let length = (self.sizes[last] - index[last]).min(end - position);
            f(offsets, position, length);
            position += length;
            index[last] += length;
            for operand in 0..K {
                offsets[operand] += length * self.strides[operand][last];
            }
            let mut axis = last;
            while index[axis] == self.sizes[axis] && axis > 0 {
                for operand in 0..K {
                    offsets[operand] = offsets[operand]
                        .wrapping_sub(index[axis] * self.strides[operand][axis])
                        .wrapping_add(self.strides[operand][axis - 1]);
                }
                index[axis] = 0;
                axis -= 1;
                index[axis] += 1;
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn spec<const K: usize>(words: &[usize]) -> Spec<K> {
        // SAFETY: the words outlive it, and are as many as their first says.
        unsafe { Spec::read(words.as_ptr() as usize) }
    }

    #[test]
    fn runs_visit_each_element_once_in_order_and_reach_says_how_far() {
        // [2, 3, 4]: an operand that lies whole, and one that repeats along the middle axis.
        let spec = spec::<2>(&[3, 2, 3, 4, 12, 4, 1, 4, 0, 1]);
        assert_eq!((spec.count(), spec.reach(0), spec.reach(1)), (24, 24, 8));
        for (start, end) in [(0, 24), (0, 5), (5, 23), (11, 12), (24, 24)] {
            let mut next = start;
            spec.runs(start, end, |[i, j], position, n| {
                assert_eq!((i, position), (next, next));
                assert_eq!(j, position / 12 * 4 + position % 4);
                assert!(i + n <= spec.reach(0) && j + n <= spec.reach(1));
                next += n;
            });
            assert_eq!(next, end);
        }
    }

    #[test]
    fn nothing_is_reached_where_there_is_nothing() {
        assert_eq!(spec::<1>(&[2, 3, 0, 1, 1]).reach(0), 0);
    }

    #[test]
    #[should_panic(expected = "a spec of rank 17")]
    fn a_rank_beyond_the_largest_panics() {
        spec::<1>(&[17; 64]);
    }
}
