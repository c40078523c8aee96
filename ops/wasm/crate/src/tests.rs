//! Runs kernels of every family over odd sizes, with bounds asserted, against sums in plain loops, laws and exact values. Their
//! results are compared with the oracle's in tests/ops; here they must stay within what they were promised.

use crate::decode::{Parts, Weight, decode, dtype};
use crate::encode::encode;
use crate::gemm::matmul;
use crate::simd::{map1, map2, splat};
use crate::span::{In, Out};
use crate::tile::{MR, NR, tile};
use crate::{attention, elementwise, fastfood, linalg, movement, pack, reduce, threads, walsh};

fn address<T>(values: &[T]) -> usize {
    values.as_ptr() as usize
}

fn room<T>(values: &mut [T]) -> usize {
    values.as_mut_ptr() as usize
}

/// Small whole numbers, whose sums of products are exact in f32.
fn whole(n: usize, seed: usize) -> Vec<f32> {
    let mixed = |i: usize| (i + 3) * (2 * seed + 7) * 2_654_435_761 % (1 << 32);
    (0..n).map(|i| (mixed(i) >> 28) as f32 - 8.0).collect()
}

/// a · b in plain loops, of matrices stored as `ta` and `tb` say.
fn product(a: &[f32], b: &[f32], [m, n, k]: [usize; 3], ta: bool, tb: bool) -> Vec<f32> {
    let mut out = vec![0.0; m * n];
    for i in 0..m {
        for j in 0..n {
            let term = |p: usize| {
                let x = a[if ta { p * m + i } else { i * k + p }] as f64;
                x * b[if tb { j * k + p } else { p * n + j }] as f64
            };
            out[i * n + j] = (0..k).map(term).sum::<f64>() as f32;
        }
    }
    out
}

#[test]
fn products_of_all_kinds_are_those_of_plain_loops() {
    let sizes = [
        [1, 1, 1],
        [1, 300, 17],
        [2, 33, 40],
        [3, 5, 700],
        [4, 64, 64],
        [5, 40, 3],
        [9, 70, 530],
        [70, 9, 65],
        [130, 33, 20],
        [33, 130, 70],
        [40, 260, 130],
        [150, 70, 300],
    ];
    for [m, n, k] in sizes {
        let (a, b) = (whole(m * k, 1), whole(k * n, 2));
        for (ta, tb) in [(false, false), (false, true), (true, false), (true, true)] {
            let mut out = vec![f32::NAN; m * n];
            let (lda, ldb) = (if ta { m } else { k }, if tb { k } else { n });
            let (x, y, to) = (address(&a), address(&b), room(&mut out));
            // SAFETY: the operands are as large as is said.
            unsafe { matmul(dtype::F32, x, y, to, 1, 0, m, n, k, lda, ldb, ta, tb, k * n, ldb) };
            assert_eq!(out, product(&a, &b, [m, n, k], ta, tb), "{m} {n} {k} {ta} {tb}");
        }
    }
}

#[test]
fn items_of_a_batch_begin_at_their_offsets() {
    for (m, n, k) in [(2, 19, 21), (40, 50, 11)] {
        let (a, b) = (whole(2 * m * k, 3), whole(k * n, 4));
        let offsets = [m * k, 0, 0, 0];
        let mut out = vec![f32::NAN; 2 * m * n];
        let (x, y, to) = (address(&a), address(&b), room(&mut out));
        // SAFETY: a has two items, and b one that both meet.
        unsafe { matmul(dtype::F32, x, y, to, 2, address(&offsets), m, n, k, k, n, false, false, k * n, n) };
        let sizes = [m, n, k];
        assert_eq!(out[..m * n], product(&a[m * k..], &b, sizes, false, false));
        assert_eq!(out[m * n..], product(&a[..m * k], &b, sizes, false, false));
    }
}

#[test]
fn coded_weights_meet_rows_as_their_decoded_elements_do() {
    for code in [dtype::INT8, dtype::NF4, dtype::INT4, dtype::NF4_DOUBLE, dtype::DYNAMIC8, dtype::Q4_0, 17, 19] {
        for (m, n, k) in [(1, 7, 256), (2, 9, 128), (3, 33, 320), (4, 2, 64), (6, 40, 96)] {
            let (a, b) = (whole(m * k, 5), whole(n * k, 6));
            let mut coded = vec![0u32; Parts::new(code, n * k, k).bytes().div_ceil(4)];
            let (mut plain, mut out) = (vec![f32::NAN; n * k], vec![f32::NAN; m * n]);
            let (w, to) = (room(&mut coded), room(&mut out));
            // SAFETY: the codes have room, the operands are as large as is said.
            unsafe {
                encode(code, address(&b), n * k, k, w);
                decode(code, w, n * k, k, room(&mut plain));
                matmul(code, address(&a), w, to, 1, 0, m, n, k, k, k, false, true, n * k, k);
            }
            let expected = product(&a, &plain, [m, n, k], false, true);
            for (got, expected) in out.iter().zip(expected) {
                assert!((got - expected).abs() < 0.02, "{code} {m} {n} {k}: {got} for {expected}");
            }
        }
    }
}

#[test]
fn attention_is_a_mean_of_values_weighted_by_softmax() {
    let (b, t, s, h, g, d) = (2, 70, 67, 4, 2, 9);
    let half = |n, seed| whole(n, seed).iter().map(|x| x / 8.0).collect::<Vec<f32>>();
    let (q, k, v) = (half(b * t * h * d, 7), half(b * s * g * d, 8), half(b * s * g * d, 9));
    let (mut out, mut lse) = (vec![f32::NAN; b * t * h * d], vec![f32::NAN; b * h * t]);
    let scale = 0.3f32;
    let mut words = [0usize; 27];
    words[..3].copy_from_slice(&[address(&q), address(&k), address(&v)]);
    words[9..16].copy_from_slice(&[b, t, s, h, g, d, scale.to_bits() as usize]);
    words[20..22].copy_from_slice(&[room(&mut out), room(&mut lse)]);
    // SAFETY: the operands are as large as the words say.
    unsafe { attention::attention(address(&words)) };
    for item in 0..b {
        for token in 0..t {
            for head in 0..h {
                let at = ((item * t + token) * h + head) * d;
                let key = |j: usize| ((item * s + j) * g + head / (h / g)) * d;
                let dot = |j: usize| (0..d).map(|c| (q[at + c] * k[key(j) + c]) as f64).sum::<f64>();
                let weights: Vec<f64> = (0..s).map(|j| (scale as f64 * dot(j)).exp()).collect();
                let total: f64 = weights.iter().sum();
                for c in 0..d {
                    let mean = (0..s).map(|j| weights[j] * v[key(j) + c] as f64).sum::<f64>() / total;
                    assert!((out[at + c] as f64 - mean).abs() < 1e-5);
                }
                assert!((lse[(item * h + head) * t + token] as f64 - total.ln()).abs() < 1e-5);
            }
        }
    }
}

#[test]
fn walks_reductions_and_moves_of_odd_sizes() {
    let x = whole(5 * 7 * 3, 10);
    let mut out = vec![f32::NAN; 5 * 3];
    // SAFETY: x is [5, 7, 3].
    unsafe { reduce::reduce(0, address(&x), 5, 7, 3, room(&mut out)) };
    assert!((0..15).all(|i| out[i] == (0..7).map(|j| x[(i / 3 * 7 + j) * 3 + i % 3]).sum::<f32>()));
    let mut out = vec![f32::NAN; 15];
    // SAFETY: x has fifteen rows of seven.
    unsafe { reduce::reduce(1, address(&x), 15, 7, 1, room(&mut out)) };
    assert!((0..15).all(|i| out[i] == x[7 * i..][..7].iter().fold(f32::MIN, |m, v| m.max(*v))));
    // A column of 35 and a row of 3, broadcast.
    let spec = [2usize, 35, 3, 1, 0, 0, 1];
    let mut out = vec![f32::NAN; 105];
    // SAFETY: the spec reaches 35 numbers and 3.
    unsafe { elementwise::binary(0, address(&spec), address(&x), address(&x), room(&mut out)) };
    assert!((0..105).all(|i| out[i] == x[i / 3] + x[i % 3]));
    let spec = [1usize, 1, 0, 0];
    // SAFETY: x has 35 rows of three, or as many columns.
    unsafe { movement::transpose(address(&spec), address(&x), room(&mut out), 35, 3, 3, 35) };
    assert!((0..105).all(|i| out[i] == x[i % 35 * 3 + i / 35]));
}

#[test]
fn walsh_and_hadamards_transform_is_its_own_inverse_but_for_a_factor() {
    for n in [1, 2, 4, 8, 16, 32, 4096, 16_384] {
        let x = whole(3 * n, 11);
        let mut out = vec![f32::NAN; 3 * n];
        let to = room(&mut out);
        // SAFETY: both are three rows of n.
        unsafe {
            walsh::walsh_hadamard(address(&x), 3, n, to);
            walsh::walsh_hadamard(to, 3, n, to);
        }
        assert!(out.iter().zip(&x).all(|(y, x)| *y == n as f32 * x), "{n}");
    }
}

#[test]
fn fastfood_and_its_transpose_are_adjoint() {
    let mixing = [5usize, 1, 9, 2, 13, 3, 17, 4];
    for (k, n, size) in
        [(1usize, 1usize, 3usize), (1, 2, 5), (2, 4, 11), (4, 8, 8), (8, 16, 45), (64, 4096, 5000), (16, 8192, 9000)]
    {
        let rows = size.div_ceil(n);
        let (t, g) = (whole(rows * k, 12), whole(size, 13));
        let (mut out, mut back) = (vec![f32::NAN; size], vec![f32::NAN; rows * k]);
        let mut work = vec![0.0f32; n + if n > walsh::PIECE { k * fastfood::collectors(k, n) } else { 0 }];
        let (words, work) = (address(&mixing), room(&mut work));
        // SAFETY: all are as large as the sizes ask for.
        unsafe {
            fastfood::fastfood(address(&t), k, n, size, 1, 2, words, work, room(&mut out));
            fastfood::fastfood_transpose(address(&g), k, n, size, 1, 2, words, work, room(&mut back));
        }
        let dot = |x: &[f32], y: &[f32]| x.iter().zip(y).map(|(x, y)| *x as f64 * *y as f64).sum::<f64>();
        let (left, right) = (dot(&out, &g), dot(&t, &back));
        assert!((left - right).abs() < 1e-4 * (1.0 + left.abs()), "{k} {n} {size}: {left} and {right}");
    }
}

#[test]
fn factors_multiply_to_the_matrix() {
    for (m, n) in [(40, 5), (7, 7), (3, 9)] {
        let x: Vec<f32> = whole(m * n, 14).iter().enumerate().map(|(i, x)| x + (i % (n + 1) * 3) as f32).collect();
        let k = m.min(n);
        let (mut q, mut r) = (vec![f32::NAN; m * k], vec![f32::NAN; k * n]);
        // SAFETY: all are as large as the sizes ask for.
        unsafe { linalg::qr(address(&x), m, n, room(&mut q), room(&mut r)) };
        let back = product(&q, &r, [m, n, k], false, false);
        assert!(back.iter().zip(&x).all(|(y, x)| (y - x).abs() < 1e-3), "{m} {n}");
    }
}

#[test]
fn workers_leave_the_same_bits() {
    let (m, n, k) = (90, 150, 200);
    let (a, b) = (whole(m * k, 15), whole(n * k, 16));
    let expected = product(&a, &b, [m, n, k], false, true);
    assert_eq!(threads::start_workers(3), 1);
    let mut out = vec![f32::NAN; m * n];
    let (x, y, to) = (address(&a), address(&b), room(&mut out));
    // SAFETY: the operands are as large as is said.
    unsafe { matmul(dtype::F32, x, y, to, 1, 0, m, n, k, k, k, false, true, n * k, k) };
    threads::end_workers();
    assert_eq!(out, expected);
}

#[test]
#[should_panic(expected = "out of bounds")]
fn an_output_that_is_too_small_panics() {
    let x = [1.0; 9];
    // SAFETY: it panics before it writes past the end.
    unsafe { map1(In::of(&x), Out::of(&mut [0.0; 8]), 0, 9, |x| x) };
}

#[test]
#[should_panic(expected = "out of bounds")]
fn an_operand_that_is_too_small_panics() {
    let x = [1.0; 9];
    // SAFETY: it panics before it reads past the end.
    unsafe { map2(In::of(&x), In::of(&x[..7]), Out::of(&mut [0.0; 9]), 0, 9, |_, _| splat(0.0)) };
}

#[test]
#[should_panic(expected = "out of bounds")]
fn a_panel_that_is_too_short_panics() {
    let (a, b) = ([1.0; 3 * MR], [1.0; 2 * NR]);
    // SAFETY: it panics before it reads past the end of b.
    unsafe { tile(3, In::of(&a), In::of(&b)) };
}

#[test]
#[should_panic(expected = "out of bounds")]
fn rows_that_a_weight_does_not_have_panic() {
    let values = [1.0; 4 * 9];
    let (mut panels, mut buffer) = ([0.0; 9 * NR], [0.0; 9 * NR]);
    let w = Weight::plain(In::of(&values));
    // SAFETY: it panics before it reads a fifth row.
    unsafe { pack::panels_b(&w, true, 9, 0, 9, 0, 5, Out::of(&mut buffer), Out::of(&mut panels), 9 * NR) };
}

#[test]
#[should_panic(expected = "out of bounds")]
fn blocks_that_a_weight_does_not_have_panic() {
    let mut codes = vec![0u32; Parts::new(dtype::NF4, 64, 64).bytes() / 4];
    // SAFETY: the weight has room for its one block, and it panics before it reads a second.
    unsafe { Weight::new(dtype::NF4, room(&mut codes), 64, 64).decode(64, 64, Out::of(&mut [0.0; 64])) };
}

#[test]
#[should_panic(expected = "rows")]
fn more_rows_than_a_panel_has_panic() {
    // SAFETY: it panics before it reads.
    unsafe { pack::panel_a(In::of(&[0.0; 64]), MR + 1, 1, 1, 1, Out::of(&mut [0.0; MR])) };
}
