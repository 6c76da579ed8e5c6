//! The program's memory: blocks of powers of two, cut one after the other from large pieces, and kept for the next of
//! their size when they are freed. A program that lives for milliseconds touches fewer pages this way, and never
//! returns one: the C library's allocator maps and unmaps each time, which was a sixth of the time of a `run`.
//!
//! The first piece is part of the program, so that most commands never ask the system. Never gives memory back, and
//! never takes more than twice what was in use at once (and a piece).

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::UnsafeCell;
use std::ptr::null_mut;
use std::sync::atomic::{AtomicBool, Ordering};

/// The smallest block: room for the pointer to the next free one, and aligned for every type of ours.
const SMALLEST: usize = 16;

/// Blocks of 16 bytes to 64 KiB; what is larger is seldom, and the system's.
const SIZES: usize = 13;

/// Of the program's own piece: zeroes that take no room in its file.
const FIRST_BYTES: usize = 128 << 10;

/// What is asked of the system at a time. Only pages that are used cost anything.
const PIECE_BYTES: usize = 512 << 10;

/// An allocator for a program of one thread; with more threads it stays correct, but they wait for each other.
#[derive(Debug)]
pub struct Heap {
    is_busy: AtomicBool,
    blocks: UnsafeCell<Blocks>,
    first: UnsafeCell<First>,
}

/// The program's own piece, aligned as every block is.
type First = [u128; FIRST_BYTES / size_of::<u128>()];

#[derive(Debug)]
struct Blocks {
    /// The first free block of each size; each holds the address of the next.
    free: [*mut u8; SIZES],
    /// What is left of the present piece.
    rest: *mut u8,
    rest_bytes: usize,
}

// SAFETY: `blocks` is reached through `with` alone, which lets one caller in at a time.
unsafe impl Sync for Heap {}

impl Default for Heap {
    fn default() -> Self {
        Self::new()
    }
}

impl Heap {
    /// With nothing in it.
    #[must_use]
    pub const fn new() -> Self {
        let blocks = Blocks { free: [null_mut(); SIZES], rest: null_mut(), rest_bytes: 0 };
        Self {
            is_busy: AtomicBool::new(false),
            blocks: UnsafeCell::new(blocks),
            first: UnsafeCell::new([0; FIRST_BYTES / size_of::<u128>()]),
        }
    }

    fn with<T>(&self, act: impl FnOnce(&mut Blocks) -> T) -> T {
        while self.is_busy.swap(true, Ordering::Acquire) {
            std::hint::spin_loop();
        }
        // SAFETY: the thread that set `is_busy` is alone here until it clears it; `act` neither allocates nor panics.
        let blocks = unsafe { &mut *self.blocks.get() };
        if blocks.rest.is_null() {
            (blocks.rest, blocks.rest_bytes) = (self.first.get().cast(), FIRST_BYTES);
        }
        let done = act(blocks);
        self.is_busy.store(false, Ordering::Release);
        done
    }
}

/// The index of the size that holds `layout`; none when the system is to see to it.
fn size_index(layout: Layout) -> Option<usize> {
    let bytes = layout.size().max(layout.align()).max(SMALLEST).next_power_of_two();
    let index = (bytes / SMALLEST).trailing_zeros() as usize;
    (index < SIZES && layout.align() <= SMALLEST).then_some(index)
}

impl Blocks {
    fn take(&mut self, index: usize) -> *mut u8 {
        let block = self.free[index];
        if block.is_null() {
            return self.cut(SMALLEST << index);
        }
        // SAFETY: a free block is ours, aligned to 16, and holds the address that `put` wrote.
        self.free[index] = unsafe { block.cast::<*mut u8>().read() };
        block
    }

    fn put(&mut self, index: usize, block: *mut u8) {
        // SAFETY: the block is at least 16 bytes, aligned to them, and its user has given it back.
        unsafe { block.cast::<*mut u8>().write(self.free[index]) };
        self.free[index] = block;
    }

    fn cut(&mut self, bytes: usize) -> *mut u8 {
        if self.rest_bytes < bytes {
            let Ok(piece) = Layout::from_size_align(PIECE_BYTES, SMALLEST) else { return null_mut() };
            // SAFETY: a piece is not empty.
            let fresh = unsafe { System.alloc(piece) };
            if fresh.is_null() {
                return fresh;
            }
            (self.rest, self.rest_bytes) = (fresh, PIECE_BYTES);
        }
        let block = self.rest;
        // SAFETY: at least `bytes` of the piece are left.
        self.rest = unsafe { block.add(bytes) };
        self.rest_bytes -= bytes;
        block
    }
}

// SAFETY: a block is handed out once until it is given back; it holds its layout, since blocks are as large as their
// size and aligned to 16, and the system sees to every other layout, in `dealloc` by the same rule as in `alloc`.
unsafe impl GlobalAlloc for Heap {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        match size_index(layout) {
            Some(index) => self.with(|blocks| blocks.take(index)),
            // SAFETY: by our caller's contract.
            None => unsafe { System.alloc(layout) },
        }
    }

    unsafe fn dealloc(&self, block: *mut u8, layout: Layout) {
        match size_index(layout) {
            Some(index) => self.with(|blocks| blocks.put(index, block)),
            // SAFETY: by our caller's contract, and `alloc` had it from there.
            None => unsafe { System.dealloc(block, layout) },
        }
    }

    unsafe fn realloc(&self, block: *mut u8, layout: Layout, bytes: usize) -> *mut u8 {
        let Ok(wanted) = Layout::from_size_align(bytes, layout.align()) else { return null_mut() };
        match (size_index(layout), size_index(wanted)) {
            (Some(index), Some(same)) if index == same => return block,
            // SAFETY: by our caller's contract, and both sizes are the system's.
            (None, None) => return unsafe { System.realloc(block, layout, bytes) },
            _ => {}
        }
        // SAFETY: the size is not zero by our caller's contract.
        let moved = unsafe { self.alloc(wanted) };
        if !moved.is_null() {
            // SAFETY: both are at least that long, and apart.
            unsafe { moved.copy_from_nonoverlapping(block, layout.size().min(bytes)) };
            // SAFETY: by our caller's contract it is not used any more.
            unsafe { self.dealloc(block, layout) };
        }
        moved
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn layout(bytes: usize, align: usize) -> Layout {
        Layout::from_size_align(bytes, align).expect("a layout")
    }

    #[test]
    fn a_layout_gets_the_smallest_block_that_holds_it() {
        for (bytes, align, index) in [
            (1, 1, Some(0)),
            (16, 16, Some(0)),
            (17, 1, Some(1)),
            (65536, 8, Some(12)),
            (65537, 8, None),
            (8, 32, None),
        ] {
            assert_eq!(size_index(layout(bytes, align)), index, "{bytes} {align}");
        }
    }

    #[test]
    fn blocks_keep_their_content_when_they_grow_and_shrink() {
        let heap = Heap::new();
        // SAFETY: the layout is not empty.
        let mut block = unsafe { heap.alloc(layout(16, 8)) };
        // SAFETY: 16 bytes are ours.
        unsafe { block.write_bytes(7, 16) };
        let mut bytes = 16;
        for next in [24, 32, 5000, 70_000, 200_000, 40, 16] {
            // SAFETY: the block has that layout.
            block = unsafe { heap.realloc(block, layout(bytes, 8), next) };
            bytes = next;
            // SAFETY: at least 16 bytes are there.
            assert_eq!(unsafe { std::slice::from_raw_parts(block, 16) }, [7; 16], "{bytes}");
        }
        // SAFETY: the block has that layout.
        unsafe { heap.dealloc(block, layout(bytes, 8)) };
    }

    #[test]
    fn freed_blocks_are_used_again_and_no_two_overlap() {
        let heap = Heap::new();
        // SAFETY: the layout is not empty.
        let take = || unsafe { heap.alloc(layout(1000, 8)) };
        let first: Vec<*mut u8> = (0..2000).map(|_| take()).collect();
        let mut sorted = first.clone();
        sorted.sort_unstable();
        assert!(sorted.windows(2).all(|pair| pair[1] as usize - pair[0] as usize >= 1000));
        for block in &first {
            // SAFETY: the block has that layout.
            unsafe { heap.dealloc(*block, layout(1000, 8)) };
        }
        let mut again: Vec<*mut u8> = (0..2000).map(|_| take()).collect();
        again.sort_unstable();
        assert_eq!(again, sorted);
    }
}
