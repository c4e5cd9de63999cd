//! The order in which Kayenta adds up its groups' scores, which can change the last decimal of their sum.
//!
//! It is that of the map which Scala 2.12's `groupBy` gives: the names go into a mutable hash table, which is walked from its last
//! bucket to its first, and from there into an immutable map, which keeps the order of up to four keys and is a hash trie above.
//!
//! Checked against: `fixtures/reference/kayenta/group_order.py`, whose order gave the scores of a running Kayenta.

/// Buckets of a new table.
const BUCKETS: usize = 16;
/// Keys for each thousand buckets beyond which a table doubles.
const LOAD_PER_MILLE: usize = 750;
/// Keys whose order an immutable map keeps.
const IN_ORDER: usize = 4;

/// The places of `names`, all of which differ, in the order of the map. `names` are as the metrics name them first.
pub(super) fn of_groups(names: &[&str]) -> Vec<usize> {
    let hashes: Vec<u32> = names.iter().map(|name| java_hash(name)).collect();
    let mut places = table_order(&hashes);
    if places.len() > IN_ORDER {
        places.sort_by_key(|place| trie_digits(hashes[*place]));
    }
    places
}

/// `String.hashCode`, over UTF-16 code units.
fn java_hash(text: &str) -> u32 {
    text.encode_utf16().fold(0_u32, |hash, unit| hash.wrapping_mul(31).wrapping_add(u32::from(unit)))
}

/// The bucket of a hash in a table of `size` buckets, a power of 2.
fn bucket(hash: u32, size: usize) -> usize {
    let spread = hash.wrapping_mul(0x9e37_75cd).swap_bytes().wrapping_mul(0x9e37_75cd);
    let ones = size as u32 - 1;
    ((spread.rotate_right(ones.count_ones()) >> ones.leading_zeros()) & ones) as usize
}

/// The keys of a mutable hash table, from its last bucket to its first; the latest key of a bucket comes first.
fn table_order(hashes: &[u32]) -> Vec<usize> {
    let mut table: Vec<Vec<usize>> = vec![Vec::new(); BUCKETS];
    for (place, hash) in hashes.iter().enumerate() {
        let size = table.len();
        // Chains are kept the other way round: their first key is the last.
        table[bucket(*hash, size)].push(place);
        if place + 1 > size * LOAD_PER_MILLE / 1000 {
            let mut larger = vec![Vec::new(); 2 * size];
            for other in table.iter().rev().flat_map(|chain| chain.iter().rev()) {
                larger[bucket(hashes[*other], 2 * size)].push(*other);
            }
            table = larger;
        }
    }
    table.iter().rev().flat_map(|chain| chain.iter().rev()).copied().collect()
}

/// The branches that lead to a key of a hash trie, from its root.
fn trie_digits(hash: u32) -> [u32; 7] {
    let mut hash = hash.wrapping_add(!(hash << 9));
    hash ^= hash >> 14;
    hash = hash.wrapping_add(hash << 4);
    hash ^= hash >> 10;
    std::array::from_fn(|level| hash.checked_shr(5 * level as u32).unwrap_or(0) & 31)
}
