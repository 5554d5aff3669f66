//! Bodies on their way: a [`Pipe`] changes a stream, a [`Tap`] watches one.
//!
//! With neither, bytes go from socket to socket and nothing here runs. Pipes run in the order in
//! which they were added. A tap sees what leaves the last pipe; it never slows or fails the stream.

/// Whose body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Side {
    /// From the client to the upstream.
    Request,
    /// From the upstream to the client.
    Response,
}

/// The stream cannot go on: it is cut, visibly.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Abort;

/// Whether a pipe that was asked to finish has more to give.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Done {
    /// All is out.
    Finished,
    /// Call `finish` again.
    More,
}

/// Changes a stream.
pub trait Pipe {
    /// Takes some of `input`, appends to `out`, and returns how many bytes it took. It must take
    /// at least one, and should append at most a few times what it took before it returns.
    ///
    /// # Errors
    /// [`Abort`] cuts the stream.
    fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Abort>;

    /// The input has ended: appends what is left.
    ///
    /// # Errors
    /// [`Abort`] cuts the stream.
    fn finish(&mut self, out: &mut Vec<u8>) -> Result<Done, Abort>;
}

/// Whether a tap wants to see more.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Keep {
    /// Go on.
    Watching,
    /// It has given up, or seen enough: `end` will not be called.
    Stop,
}

/// How a watched stream ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum End {
    /// All of it was seen. Only now may a tap commit what it collected.
    Complete,
    /// It was cut.
    Aborted,
}

/// Watches a stream.
pub trait Tap {
    /// These bytes go by.
    fn see(&mut self, bytes: &[u8]) -> Keep;
    /// The stream is over.
    fn end(&mut self, how: End);
}

/// The pipes and taps of one request, and the limit on its request body.
#[derive(Default)]
pub struct Bodies {
    pipes: [Vec<Box<dyn Pipe>>; 2],
    taps: [Vec<Box<dyn Tap>>; 2],
    between: Vec<u8>,
    limit: Option<u64>,
}

impl Bodies {
    pub(crate) fn pipe(&mut self, side: Side, pipe: Box<dyn Pipe>) {
        self.pipes[side as usize].push(pipe);
    }

    pub(crate) fn tap(&mut self, side: Side, tap: Box<dyn Tap>) {
        self.taps[side as usize].push(tap);
    }

    pub(crate) fn limit(&mut self, bytes: u64) {
        self.limit = Some(self.limit.map_or(bytes, |l| l.min(bytes)));
    }

    /// The most bytes of request body that may pass.
    pub fn request_limit(&self) -> Option<u64> {
        self.limit
    }

    /// True if the stream's length or bytes may change on the way.
    pub fn changes(&self, side: Side) -> bool {
        !self.pipes[side as usize].is_empty()
    }

    /// True if every byte of this side must pass through [`Bodies::pass`].
    pub fn wants(&self, side: Side) -> bool {
        self.changes(side) || !self.taps[side as usize].is_empty()
    }

    /// Sends `input` through the pipes of `side`, appends what comes out to `out`, and shows that
    /// to the taps. `end` says that nothing follows.
    ///
    /// # Errors
    /// [`Abort`] if a pipe cuts the stream, or takes nothing of what it is given.
    pub fn pass(
        &mut self,
        side: Side,
        input: &[u8],
        end: bool,
        out: &mut Vec<u8>,
    ) -> Result<(), Abort> {
        let at = out.len();
        let pipes = &mut self.pipes[side as usize];
        match pipes.len() {
            0 => out.extend_from_slice(input),
            1 => through(&mut *pipes[0], input, end, out)?,
            n => {
                let mut from = std::mem::take(&mut self.between);
                from.clear();
                from.extend_from_slice(input);
                let mut to = Vec::with_capacity(input.len());
                for pipe in &mut pipes[..n - 1] {
                    to.clear();
                    through(&mut **pipe, &from, end, &mut to)?;
                    std::mem::swap(&mut from, &mut to);
                }
                through(&mut *pipes[n - 1], &from, end, out)?;
                self.between = from;
            }
        }
        let seen = &out[at..];
        if !seen.is_empty() {
            self.taps[side as usize].retain_mut(|t| t.see(seen) == Keep::Watching);
        }
        if end {
            self.end(side, End::Complete);
        }
        Ok(())
    }

    /// Tells the taps of `side` how it ended; they are told once.
    pub fn end(&mut self, side: Side, how: End) {
        let taps = &mut self.taps[side as usize];
        if taps.is_empty() {
            return; // every request comes by here
        }
        for mut tap in taps.drain(..) {
            tap.end(how);
        }
    }

    pub(crate) fn clear(&mut self) {
        for side in [Side::Request, Side::Response] {
            self.end(side, End::Aborted);
            self.pipes[side as usize].clear();
        }
        self.limit = None;
    }
}

fn through(
    pipe: &mut dyn Pipe,
    mut input: &[u8],
    end: bool,
    out: &mut Vec<u8>,
) -> Result<(), Abort> {
    while !input.is_empty() {
        let took = pipe.push(input, out)?;
        if took == 0 || took > input.len() {
            return Err(Abort);
        }
        input = &input[took..];
    }
    if end {
        // A pipe that never finishes would hold the thread: 64 Ki calls are far beyond any real one.
        for _ in 0..1 << 16 {
            if pipe.finish(out)? == Done::Finished {
                return Ok(());
            }
        }
        return Err(Abort);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    struct Double;
    impl Pipe for Double {
        fn push(&mut self, input: &[u8], out: &mut Vec<u8>) -> Result<usize, Abort> {
            out.extend_from_slice(&[input[0], input[0]]);
            Ok(1)
        }
        fn finish(&mut self, out: &mut Vec<u8>) -> Result<Done, Abort> {
            out.push(b'.');
            Ok(Done::Finished)
        }
    }

    struct Stuck;
    impl Pipe for Stuck {
        fn push(&mut self, _: &[u8], _: &mut Vec<u8>) -> Result<usize, Abort> {
            Ok(0)
        }
        fn finish(&mut self, _: &mut Vec<u8>) -> Result<Done, Abort> {
            Ok(Done::More)
        }
    }

    #[test]
    fn pipes_run_in_order_and_finish_into_each_other() {
        let mut b = Bodies::default();
        b.pipe(Side::Response, Box::new(Double));
        b.pipe(Side::Response, Box::new(Double));
        let mut out = Vec::new();
        b.pass(Side::Response, b"ab", false, &mut out).unwrap();
        b.pass(Side::Response, b"", true, &mut out).unwrap();
        assert_eq!(out, b"aaaabbbb...");
    }

    #[test]
    fn a_pipe_that_takes_nothing_cuts_the_stream_instead_of_hanging() {
        let mut b = Bodies::default();
        b.pipe(Side::Request, Box::new(Stuck));
        assert_eq!(
            b.pass(Side::Request, b"x", false, &mut Vec::new()),
            Err(Abort)
        );
        assert_eq!(
            b.pass(Side::Request, b"", true, &mut Vec::new()),
            Err(Abort)
        );
    }

    #[test]
    fn a_tap_is_told_of_the_end_once_and_only_while_it_watches() {
        use std::cell::RefCell;
        use std::rc::Rc;
        struct Log(Rc<RefCell<Vec<String>>>, usize);
        impl Tap for Log {
            fn see(&mut self, bytes: &[u8]) -> Keep {
                self.0
                    .borrow_mut()
                    .push(String::from_utf8_lossy(bytes).into());
                self.1 -= 1;
                if self.1 == 0 {
                    Keep::Stop
                } else {
                    Keep::Watching
                }
            }
            fn end(&mut self, how: End) {
                self.0.borrow_mut().push(format!("{how:?}"));
            }
        }
        let seen = Rc::new(RefCell::new(Vec::new()));
        let mut b = Bodies::default();
        b.tap(Side::Request, Box::new(Log(seen.clone(), 1)));
        b.tap(Side::Request, Box::new(Log(seen.clone(), 9)));
        b.pass(Side::Request, b"x", false, &mut Vec::new()).unwrap();
        b.pass(Side::Request, b"y", true, &mut Vec::new()).unwrap();
        b.end(Side::Request, End::Aborted);
        assert_eq!(*seen.borrow(), ["x", "x", "y", "Complete"]);
    }
}
