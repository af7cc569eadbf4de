//! Artwork: a real picture for everything, drawn from the number of what it belongs to.
#![expect(
    clippy::cast_possible_truncation,
    clippy::cast_precision_loss,
    clippy::cast_sign_loss,
    reason = "pixels: small non-negative numbers on both sides"
)]

use super::dice::Dice;

/// The longest edge a client can ask for; a drawing this large takes some ten milliseconds.
const LONGEST_EDGE: u32 = 1200;

/// Width and height in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Size {
    pub(super) width: u32,
    pub(super) height: u32,
}

impl Size {
    pub(super) const POSTER: Self = Self {
        width: 240,
        height: 360,
    };
    pub(super) const ART: Self = Self {
        width: 480,
        height: 270,
    };
    pub(super) const SQUARE: Self = Self {
        width: 300,
        height: 300,
    };
    pub(super) const AVATAR: Self = Self {
        width: 96,
        height: 96,
    };

    /// The largest size of the same shape that fits a box, as the photo transcoder makes it.
    pub(super) fn fit(self, width: u32, height: u32) -> Self {
        let width = width.clamp(1, LONGEST_EDGE);
        let height = height.clamp(1, LONGEST_EDGE);
        if u64::from(self.width) * u64::from(height) > u64::from(width) * u64::from(self.height) {
            Self {
                width,
                height: (self.height * width / self.width).max(1),
            }
        } else {
            Self {
                width: (self.width * height / self.height).max(1),
                height,
            }
        }
    }
}

/// A PNG; the same number and size always give the same bytes.
pub(super) fn draw(number: u64, size: Size) -> Result<Vec<u8>, png::EncodingError> {
    let motif = Motif::new(number, size);
    let mut pixels = Vec::with_capacity((size.width * size.height * 3) as usize);
    for y in 0..size.height {
        for x in 0..size.width {
            pixels.extend(
                motif
                    .colour(x, y)
                    .map(|part| (part.clamp(0.0, 1.0) * 255.0) as u8),
            );
        }
    }
    let mut file = Vec::new();
    let mut encoder = png::Encoder::new(&mut file, size.width, size.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_compression(png::Compression::Fast);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(file)
}

type Colour = [f32; 3];

/// Night sky with a moon, rings around it and hills in front; which of them differs.
struct Motif {
    size: Size,
    top: Colour,
    bottom: Colour,
    light: Colour,
    moon: (f32, f32),
    radius: f32,
    rings: f32,
    hills: Vec<Hill>,
}

struct Hill {
    height: f32,
    swing: f32,
    waves: f32,
    phase: f32,
    colour: Colour,
}

impl Motif {
    fn new(number: u64, size: Size) -> Self {
        let mut dice = Dice::new(number, &[50]);
        let mut share = |low: f32, high: f32| low + (high - low) * dice.below(1000) as f32 / 1000.0;
        let hue = share(0.0, 1.0);
        let second = hue + share(0.08, 0.22);
        let bottom = hsl(second, share(0.45, 0.75), share(0.42, 0.62));
        let rings = share(-0.6, 1.0).max(0.0);
        let moon = (share(0.2, 0.8), share(0.18, 0.5));
        let radius = share(0.1, 0.26);
        let layers = share(0.0, 3.99) as u32;
        let hills = (0..layers)
            .map(|layer| Hill {
                height: 0.62 + 0.13 * layer as f32 + share(0.0, 0.06),
                swing: share(0.02, 0.09),
                waves: share(2.0, 7.0),
                phase: share(0.0, std::f32::consts::TAU),
                colour: hsl(second + 0.03, 0.4, 0.3 - 0.08 * layer as f32),
            })
            .collect();
        Self {
            size,
            top: hsl(hue, share(0.4, 0.7), share(0.12, 0.26)),
            bottom,
            light: hsl(second + 0.1, 0.8, 0.84),
            moon,
            radius,
            rings,
            hills,
        }
    }

    fn colour(&self, x: u32, y: u32) -> Colour {
        let (width, height) = (self.size.width as f32, self.size.height as f32);
        let (across, down) = (x as f32 / width, y as f32 / height);
        let mut colour = mix(self.top, self.bottom, smooth(0.0, 1.0, down));

        // Distances are measured in short edges, so circles stay circles in every shape.
        let edge = width.min(height);
        let distance =
            ((across - self.moon.0) * width / edge).hypot((down - self.moon.1) * height / edge);
        let wave = (distance * 26.0).sin().mul_add(0.5, 0.5) * smooth(1.1, self.radius, distance);
        colour = mix(colour, self.light, 0.22 * self.rings * wave);
        colour = mix(
            colour,
            self.light,
            0.35 * smooth(self.radius * 2.6, self.radius, distance),
        );
        let soft = 1.5 / edge;
        colour = mix(
            colour,
            self.light,
            0.9 * smooth(self.radius + soft, self.radius - soft, distance),
        );

        for hill in &self.hills {
            let ridge = hill.height + hill.swing * (across * hill.waves + hill.phase).sin();
            colour = mix(
                colour,
                hill.colour,
                smooth(ridge - 1.5 / height, ridge + 1.5 / height, down),
            );
        }
        colour
    }
}

/// 0 at `from`, 1 at `to`, a soft slope between; `from` may be the larger one.
fn smooth(from: f32, to: f32, at: f32) -> f32 {
    let share = ((at - from) / (to - from)).clamp(0.0, 1.0);
    share * share * (3.0 - 2.0 * share)
}

fn mix(from: Colour, to: Colour, share: f32) -> Colour {
    std::array::from_fn(|part| from[part] + (to[part] - from[part]) * share)
}

fn hsl(hue: f32, saturation: f32, lightness: f32) -> Colour {
    let spread = saturation * lightness.min(1.0 - lightness);
    [0.0, 8.0, 4.0].map(|offset: f32| {
        let place = (offset + hue * 12.0).rem_euclid(12.0);
        lightness - spread * (place - 3.0).min(9.0 - place).clamp(-1.0, 1.0)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::io::Cursor;

    #[test]
    fn a_picture_decodes_to_its_size_and_is_not_flat() {
        for size in [Size::POSTER, Size::ART, Size::AVATAR] {
            let file = draw(1007, size).unwrap();
            let mut reader = png::Decoder::new(Cursor::new(&file)).read_info().unwrap();
            let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
            let info = reader.next_frame(&mut pixels).unwrap();
            assert_eq!((info.width, info.height), (size.width, size.height));
            assert_ne!(pixels[..3], pixels[pixels.len() - 3..]);
        }
    }

    #[test]
    fn pictures_are_repeatable_and_differ_from_each_other() {
        assert_eq!(
            draw(1, Size::AVATAR).unwrap(),
            draw(1, Size::AVATAR).unwrap()
        );
        assert_ne!(
            draw(1, Size::AVATAR).unwrap(),
            draw(2, Size::AVATAR).unwrap()
        );
    }

    #[test]
    fn a_size_fits_its_box_and_keeps_its_shape() {
        assert_eq!(
            Size::POSTER.fit(480, 9999),
            Size {
                width: 480,
                height: 720
            }
        );
        assert_eq!(
            Size::POSTER.fit(100, 100),
            Size {
                width: 66,
                height: 100
            }
        );
        assert_eq!(
            Size::ART.fit(0, 0),
            Size {
                width: 1,
                height: 1
            }
        );
        assert!(Size::POSTER.fit(u32::MAX, u32::MAX).height <= LONGEST_EDGE);
    }
}
