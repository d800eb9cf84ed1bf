//! The simulated world: the state, its clock, its dice and its files.

use std::{
    path::PathBuf,
    sync::{
        Mutex, PoisonError, RwLock,
        atomic::{AtomicI64, AtomicU64, Ordering},
    },
    time::Duration,
};

use time::OffsetDateTime;
use uuid::Uuid;

use crate::{
    Options, Plane, Profile, RequestRecord, SealKey, StartError, State,
    entra::signer::Signer,
    faults::{Chaos, Fault, Faults},
    record::Recorder,
    seed,
    store::{self, Store},
};

tokio::task_local! {
    /// How far behind the present this request's reads are.
    pub(crate) static LAG: time::Duration;
}

/// One simulated cloud.
pub struct World {
    held: RwLock<Held>,
    store: Store,
    key: SealKey,
    signer: Signer,
    profile: Profile,
    seed: u64,
    draws: AtomicU64,
    reads: AtomicU64,
    ahead_ms: AtomicI64,
    unsaved: Mutex<Option<String>>,
    recorder: Recorder,
    faults: Faults,
}

struct Held {
    state: State,
    saved: Vec<u8>,
}

impl World {
    /// Opens the world in a folder, making and seeding it at the first start.
    pub(crate) fn open(options: &Options) -> Result<Self, StartError> {
        let store = Store::open(&options.folder)?;
        let wrong_key = || StartError::WrongKey(PathBuf::from(store.folder()));
        let key = SealKey::new(&options.seal_key).map_err(|_| wrong_key())?;
        let (mut state, saved) = match store.load()? {
            Some(state) => {
                let saved = encode(&state)?;
                (state, saved)
            }
            None => (seed::first_state(&key)?, Vec::new()),
        };
        let sealed = state.entra.signing_key.as_ref().ok_or_else(wrong_key)?;
        let signer = Signer::from_pkcs8(&key.open(sealed).map_err(|_| wrong_key())?)?;
        seed::set_operator_secret(&mut state, &options.operator_secret);
        let recorder = Recorder::open(store.folder())?;
        let fresh = encode(&state)?;
        if fresh != saved {
            store.save(&fresh)?;
        }
        Ok(Self {
            held: RwLock::new(Held {
                state,
                saved: fresh,
            }),
            store,
            key,
            signer,
            profile: options.profile,
            seed: options.seed,
            draws: AtomicU64::new(0),
            reads: AtomicU64::new(0),
            ahead_ms: AtomicI64::new(0),
            unsaved: Mutex::new(None),
            recorder,
            faults: Faults::default(),
        })
    }

    /// Reads the state.
    pub fn read<T>(&self, f: impl FnOnce(&State) -> T) -> T {
        f(&self
            .held
            .read()
            .unwrap_or_else(PoisonError::into_inner)
            .state)
    }

    /// Changes the state and writes it to the folder when it did change.
    ///
    /// When the folder refuses, the change is taken back and the request that made it is
    /// answered with 500 by the listener.
    pub fn write<T>(&self, f: impl FnOnce(&mut State) -> T) -> T {
        let mut held = self.held.write().unwrap_or_else(PoisonError::into_inner);
        let answer = f(&mut held.state);
        let stored = encode(&held.state).and_then(|fresh| {
            if fresh != held.saved {
                self.store.save(&fresh)?;
                held.saved = fresh;
            }
            Ok(())
        });
        if let Err(reason) = stored {
            *self.unsaved.lock().unwrap_or_else(PoisonError::into_inner) = Some(reason.to_string());
            if let Ok(before) = store::decode(&held.saved) {
                held.state = before;
            }
        }
        answer
    }

    /// Takes the reason why a write since the last call was not saved.
    pub(crate) fn take_unsaved(&self) -> Option<String> {
        self.unsaved
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take()
    }

    /// The simulated present.
    pub fn now(&self) -> OffsetDateTime {
        OffsetDateTime::now_utc()
            + time::Duration::milliseconds(self.ahead_ms.load(Ordering::Relaxed))
    }

    /// Moves the simulated present forward, so that a test need not wait for an expiry or delay.
    pub fn advance(&self, by: Duration) {
        let by = i64::try_from(by.as_millis()).unwrap_or(i64::MAX);
        self.ahead_ms.fetch_add(by, Ordering::Relaxed);
    }

    /// When something written now becomes visible on a plane: a draw from the profile's range,
    /// decided by the seed and the number of draws before.
    pub fn visible_at(&self, plane: Plane) -> OffsetDateTime {
        let count = self.draws.fetch_add(1, Ordering::Relaxed);
        self.now() + self.profile.delay(plane, fraction(self.seed, count))
    }

    /// Whether the replica that answers this read has what becomes visible at `at`.
    pub fn sees(&self, at: OffsetDateTime) -> bool {
        let lag = LAG.try_with(|lag| *lag).unwrap_or(time::Duration::ZERO);
        if self.now() - lag >= at {
            return true;
        }
        self.profile.flaps()
            && lag.is_zero()
            && self.reads.fetch_add(1, Ordering::Relaxed).is_multiple_of(2)
    }

    /// The delays this world was started with.
    pub fn profile(&self) -> Profile {
        self.profile
    }

    /// A fresh GUID, unique over all starts.
    pub fn guid(&self) -> String {
        Uuid::new_v4().to_string()
    }

    /// Fresh lower-case hexadecimal digits, unique over all starts for 16 and more.
    pub fn hex(&self, digits: usize) -> String {
        let mut text = String::new();
        while text.len() < digits {
            text.push_str(&Uuid::new_v4().simple().to_string());
        }
        text.truncate(digits);
        text
    }

    /// A fresh positive number of up to 15 digits, as Databricks numbers its objects.
    pub fn number(&self) -> u64 {
        let (high, _) = Uuid::new_v4().as_u64_pair();
        100_000_000_000_000 + high % 800_000_000_000_000
    }

    /// The requests answered by this process, oldest first.
    pub fn requests(&self) -> Vec<RequestRecord> {
        self.recorder.list()
    }

    /// Adds a fault; returns the number by which it can be removed.
    pub fn add_fault(&self, fault: Fault) -> u64 {
        self.faults.add(fault)
    }

    /// Removes all faults and ends the chaos.
    pub fn clear_faults(&self) {
        self.faults.clear();
    }

    /// Lets a seeded share of all requests fail, or none.
    pub fn set_chaos(&self, chaos: Option<Chaos>) {
        self.faults.set_chaos(chaos);
    }

    pub(crate) fn faults(&self) -> &Faults {
        &self.faults
    }

    pub(crate) fn recorder(&self) -> &Recorder {
        &self.recorder
    }

    pub(crate) fn seal_key(&self) -> &SealKey {
        &self.key
    }

    pub(crate) fn signer(&self) -> &Signer {
        &self.signer
    }
}

fn encode(state: &State) -> Result<Vec<u8>, store::StoreError> {
    store::encode(state).map_err(|reason| store::StoreError::Damaged {
        file: PathBuf::from("(in memory)"),
        reason: reason.to_string(),
    })
}

/// A number in 0..1 for a seed and a count (`SplitMix64`, Steele et al. 2014).
pub(crate) fn fraction(seed: u64, count: u64) -> f64 {
    let bits = mix(seed ^ mix(count)) >> 11;
    #[allow(clippy::cast_precision_loss, reason = "53 bits fit a double exactly")]
    let value = bits as f64 / (1_u64 << 53) as f64;
    value
}

fn mix(value: u64) -> u64 {
    let z = value.wrapping_add(0x9E37_79B9_7F4A_7C15);
    let z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    let z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^ (z >> 31)
}
