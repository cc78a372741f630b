//! One who listens, and does not hold up the others.

use tokio::sync::mpsc;

use crate::Event;

/// The sender's side of a subscription.
#[derive(Debug)]
pub(crate) struct Subscriber {
    sender: mpsc::Sender<Event>,
    /// It heard of a gap since it was behind, and hears of more when there is room.
    behind: bool,
}

impl Subscriber {
    /// One that may be `signals_max` behind.
    pub(crate) fn new(signals_max: usize) -> (Self, mpsc::Receiver<Event>) {
        // Places for the gap and for what ends it are kept free.
        let (sender, receiver) = mpsc::channel(signals_max.saturating_add(2));
        (Self { sender, behind: false }, receiver)
    }

    pub(crate) fn is_gone(&self) -> bool {
        self.sender.is_closed()
    }

    /// `attached`: whether signals come at all now.
    pub(crate) fn tell(&mut self, event: &Event, attached: bool) {
        let room = self.sender.capacity() > 2;
        match event {
            Event::Changed(_) if self.behind && (!room || !attached) => {}
            Event::Changed(_) if !room => {
                self.behind = true;
                let _ = self.sender.try_send(Event::Gap);
            }
            Event::Changed(_) => {
                if std::mem::take(&mut self.behind) {
                    let _ = self.sender.try_send(Event::Attached);
                }
                let _ = self.sender.try_send(event.clone());
            }
            // It knows of the gap.
            Event::Gap if self.behind => {}
            Event::Attached | Event::Gap => {
                self.behind = self.sender.try_send(event.clone()).is_err();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::suite::change;

    #[test]
    fn one_that_is_behind_hears_of_a_gap_and_then_that_it_is_over() {
        let (mut subscriber, mut events) = Subscriber::new(3);
        subscriber.tell(&Event::Attached, true);
        (0..10).for_each(|number| subscriber.tell(&Event::Changed(change(number)), true));
        let mut heard = Vec::new();
        while let Ok(event) = events.try_recv() {
            heard.push(event);
        }
        let told = |number| Event::Changed(change(number));
        assert_eq!(heard, [Event::Attached, told(0), told(1), Event::Gap]);
        subscriber.tell(&told(10), true);
        assert_eq!((events.try_recv(), events.try_recv()), (Ok(Event::Attached), Ok(told(10))));
        drop(events);
        assert!(subscriber.is_gone());
    }
}
