//! What coded weights have in common: blocks of groups, a group's elements sharing a scale (and a shift), sixteen codes
//! read at once.

use crate::sixteen::Sixteen;

pub trait Layout: Copy + Sync {
    /// Elements of a group, a multiple of 16.
    const GROUP: usize;
    /// Groups of a block.
    const GROUPS: usize;
    /// Whether shifts can differ from 0.
    const SHIFTED: bool;

    /// Elements of a block.
    const BLOCK: usize = Self::GROUP * Self::GROUPS;

    /// What the groups of a block share.
    type Head: Copy;
    /// What a block's groups share.
    ///
    /// # Safety
    /// The weight has the block.
    unsafe fn head(&self, block: usize) -> Self::Head;
    /// (scale, shift) of a group of a block: its elements are scale · code + shift.
    ///
    /// # Safety
    /// The weight has the block, and `group` < GROUPS.
    unsafe fn scale(&self, head: Self::Head, block: usize, group: usize) -> (f32, f32);
    /// Codes 16 · part.. of a group of a block.
    ///
    /// # Safety
    /// The weight has the block, `group` < GROUPS and 16 · part < GROUP.
    unsafe fn codes(&self, block: usize, group: usize, part: usize) -> Sixteen;
}
