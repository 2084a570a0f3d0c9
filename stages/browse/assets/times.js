// Moments as the tables have them: clock times in their own offset from UTC, or seconds of the video.
// clock: whether they are clock times; days: more than one. offset: minutes east of UTC.
const times = (clock, days) => {
  const two = (number) => String(number).padStart(2, "0");
  const shifted = (seconds, offset) => new Date((seconds + 60 * offset) * 1000);
  const clockTime = (at) => `${two(at.getUTCHours())}:${two(at.getUTCMinutes())}:${two(at.getUTCSeconds())}`;
  const run = (seconds) => {
    const whole = Math.floor(seconds);
    const hours = Math.floor(whole / 3600);
    const minutes = `${hours ? `${hours}:${two(Math.floor(whole / 60) % 60)}` : Math.floor(whole / 60)}:${two(whole % 60)}`;
    return seconds < 600 ? `${minutes}.${Math.floor((seconds - whole) * 10)}` : minutes;
  };
  const day = (seconds, offset) => shifted(seconds, offset).toISOString().slice(0, 10);
  return {
    day,
    short: (seconds, offset) => {
      if (!clock) return run(seconds);
      const text = clockTime(shifted(seconds, offset));
      return days ? `${day(seconds, offset).slice(5)} ${text}` : text;
    },
    full: (seconds, offset) => (clock ? `${day(seconds, offset)} ${clockTime(shifted(seconds, offset))}` : `${run(seconds)} of the video`),
    // of a field of the form, to seconds; null where it is empty
    read: (text, offset) => {
      if (!text) return null;
      const value = clock ? Date.parse(`${text}Z`) / 1000 - 60 * offset : Number(text);
      return Number.isFinite(value) ? value : null;
    },
    field: (seconds, offset) => shifted(seconds, offset).toISOString().slice(0, 19),
  };
};
