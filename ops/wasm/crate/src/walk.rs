//! Broadcasting walks. A spec is words in memory, each as wide as an address: rank, then the sizes, then one row of strides (in elements, 0 where
//! the operand is repeated) for each operand. The caller merged axes, so the last axis is a run with strides 0 or 1.

const MAX_RANK: usize = 16;

pub struct Spec<const K: usize> {
    rank: usize,
    sizes: [usize; MAX_RANK],
    strides: [[usize; MAX_RANK]; K],
}

impl<const K: usize> Spec<K> {
    pub unsafe fn read(pointer: usize) -> Self {
        unsafe {
            let words = pointer as *const usize;
            let rank = *words;
            let mut spec = Spec { rank, sizes: [1; MAX_RANK], strides: [[0; MAX_RANK]; K] };
            for axis in 0..rank {
                spec.sizes[axis] = *words.add(1 + axis);
                for operand in 0..K {
                    spec.strides[operand][axis] = *words.add(1 + (1 + operand) * rank + axis);
                }
            }
            spec
        }
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
