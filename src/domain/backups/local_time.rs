//! The time of this machine's place: people say when their copies are to be made by their own clock.

use crate::domain::Timestamp;

/// The first moment after `after` at which it is `hour`:`minute` here. An hour that a change of the
/// clocks leaves out comes an hour later.
pub fn next(after: Timestamp, hour: u8, minute: u8) -> Timestamp {
    let today = local(after);
    let at = |days: i32| {
        let mut then = today;
        then.tm_mday += days;
        then.tm_hour = hour.into();
        then.tm_min = minute.into();
        then.tm_sec = 0;
        // Whether summer time is in force then, the system knows.
        then.tm_isdst = -1;
        // SAFETY: a tm of ours, which may be corrected in place.
        let seconds = unsafe { libc::mktime(&raw mut then) };
        Timestamp::from_seconds(seconds as i64)
    };
    let moments = [at(0), at(1), at(2)];
    moments.into_iter().find(|moment| *moment > after).unwrap_or(moments[2])
}

fn local(moment: Timestamp) -> libc::tm {
    // SAFETY: tm is plain data, for which zeros are a value.
    let mut broken_down: libc::tm = unsafe { std::mem::zeroed() };
    let seconds = moment.seconds() as libc::time_t;
    // SAFETY: both pointers are to values of ours.
    unsafe { libc::localtime_r(&raw const seconds, &raw mut broken_down) };
    broken_down
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use super::*;

    #[test]
    fn the_next_time_is_within_a_day_and_on_the_minute() {
        let noon = Timestamp::from_seconds(1_767_268_800);
        for minutes in 0..1440u32 {
            let moment = noon.plus(Duration::from_secs(u64::from(minutes) * 60 + 7));
            let then = next(moment, 3, 30);
            assert!(then > moment && then <= moment.plus(Duration::from_secs(25 * 3600)));
            let shown = local(then);
            assert_eq!((shown.tm_hour, shown.tm_min, shown.tm_sec), (3, 30, 0));
            assert_eq!(next(then.minus(Duration::from_millis(1)), 3, 30), then);
        }
    }
}
