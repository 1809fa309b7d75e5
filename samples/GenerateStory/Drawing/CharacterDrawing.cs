using SkiaSharp;

namespace GenerateStory.Drawing;

/// <summary>Draws a character with its feet at the origin; it is about 100 units tall.</summary>
internal sealed class CharacterDrawing(Pen pen, Character character, Pose pose, Prop prop)
{
    private const float HeadY = -62;

    private static readonly SKColor Ink = new(0x2B, 0x22, 0x2A);
    private static readonly SKColor Blush = new(0xF2, 0x9C, 0xA4);
    private static readonly SKColor Leather = new(0x6E, 0x48, 0x30);

    private readonly SKColor _fur = FurColour(character.Fur);
    private readonly SKColor _garment = DyeColour(character.GarmentDye);
    private readonly SKColor _hat = DyeColour(character.HatDye);
    private readonly SKColor _boots = character.Hat == Hat.None ? Leather : DyeColour(character.HatDye);

    public void Draw()
    {
        var lift = pose switch { Pose.Jumping => -12f, Pose.Sitting => 11f, _ => 0f };
        pen.Oval(0, 0, pose == Pose.Jumping ? 17 : 21, 3.5f, new(0x20, 0x18, 0x28, 0x48), outlined: false);
        pen.Canvas.Save();
        pen.Canvas.Translate(0, lift);
        Tail();
        if (pose != Pose.Sitting)
            Legs();
        Arms();
        Body();
        if (pose == Pose.Sitting)
            Legs();
        Ears();
        Head();
        Glasses();
        Headgear();
        pen.Canvas.Restore();
    }

    private void Tail()
    {
        switch (character.Species)
        {
            case Species.Cat:
                pen.Limb((8, -18), (24, -16), 5, _fur);
                pen.Limb((24, -16), (28, -30), 5, _fur);
                break;
            case Species.Mouse:
                pen.Limb((8, -16), (27, -12), 3, Blush);
                break;
            case Species.Fox:
                pen.Oval(21, -20, 7, 14, _fur, 40);
                pen.Oval(27, -27, 4, 5.5f, SKColors.White, 40, outlined: false);
                break;
            case Species.Dog:
                pen.Limb((8, -20), (23, -28), 6, _fur);
                break;
            default:
                pen.Oval(15, -20, 5, 5, Pen.Lighter(_fur));
                break;
        }
    }

    private void Legs()
    {
        var cloth = character.Garment == Garment.Dungarees ? _garment : _fur;
        var ((leftX, leftY), (rightX, rightY)) = pose switch
        {
            Pose.Walking => ((-14f, -4f), (13f, -4f)),
            Pose.Jumping => ((-14f, -7f), (14f, -7f)),
            Pose.Sitting => ((-17f, -16f), (17f, -16f)),
            _ => ((-8f, -4f), (8f, -4f)),
        };
        foreach (var (side, x, y) in new[] { (-1, leftX, leftY), (1, rightX, rightY) })
        {
            pen.Limb((side * 6.5f, -18), (x, y - 2), 9, cloth);
            pen.Oval(x + (pose == Pose.Walking ? 2 : side * 1.5f), y, 7, 4.5f, _boots);
        }
    }

    private void Arms()
    {
        var (left, right) = pose switch
        {
            Pose.Waving => ((-19f, -24f), (25f, -57f)),
            Pose.Walking => ((-21f, -29f), (19f, -25f)),
            Pose.Jumping => ((-25f, -56f), (25f, -56f)),
            Pose.Sitting => ((-18f, -22f), (18f, -22f)),
            _ => ((-18f, -22f), (18f, -22f)),
        };
        if (prop != Prop.None && pose != Pose.Jumping)
            left = (-23f, -37f);
        Hold(left);
        var sleeve = character.Garment == Garment.Dungarees ? _fur : _garment;
        foreach (var (side, hand) in new[] { (-1, left), (1, right) })
        {
            pen.Limb((side * 10, -38), hand, 8.5f, sleeve);
            pen.Oval(hand.Item1, hand.Item2, 4.6f, 4.6f, _fur);
        }
    }

    private void Hold((float X, float Y) hand)
    {
        var (x, y) = hand;
        switch (prop)
        {
            case Prop.Balloon:
                pen.Line((x, y), (x - 6, y - 34), 1.2f, Ink);
                pen.Oval(x - 6, y - 44, 9, 11, new(0xE2, 0x3E, 0x57));
                pen.Oval(x - 9, y - 48, 2, 3.5f, new(0xFF, 0xC4, 0xCC), 20, outlined: false);
                break;
            case Prop.Flower:
                pen.Line((x, y + 5), (x - 2, y - 14), 2, new(0x3C, 0x8A, 0x3E));
                for (var i = 0; i < 5; i++)
                {
                    var (sine, cosine) = MathF.SinCos(i * 2 * MathF.PI / 5);
                    pen.Oval(x - 2 + (4.6f * sine), y - 18 - (4.6f * cosine), 3.6f, 3.6f, new(0xF7, 0x8F, 0xC0));
                }
                pen.Oval(x - 2, y - 18, 3, 3, new(0xFF, 0xD3, 0x4D), outlined: false);
                break;
            case Prop.IceCream:
                pen.Polygon(new(0xD9, 0xA0, 0x5B), true, (x - 5, y - 7), (x + 5, y - 7), (x, y + 7));
                pen.Oval(x, y - 11, 6, 6, new(0xFD, 0xF0, 0xDC));
                pen.Oval(x, y - 17, 1.8f, 1.8f, new(0xD8, 0x33, 0x4A), outlined: false);
                break;
        }
    }

    private void Body()
    {
        switch (character.Garment)
        {
            case Garment.Sweater:
                pen.Oval(0, -22, 13, 9, _fur);
                pen.Polygon(_garment, true, (-10, -45), (10, -45), (14, -19), (-14, -19));
                pen.Line((-12, -22), (12, -22), 1.6f, Pen.Darker(_garment));
                pen.Line((-11, -33), (11, -33), 3.2f, Pen.Lighter(_garment));
                break;
            case Garment.Dress:
                pen.Polygon(_garment, true, (-8, -45), (8, -45), (21, -11), (-21, -11));
                pen.Line((-18, -14), (18, -14), 2.6f, Pen.Lighter(_garment));
                pen.Line((-10, -31), (10, -31), 2, Pen.Darker(_garment));
                break;
            case Garment.Coat:
                pen.Polygon(_garment, true, (-11, -45), (11, -45), (16, -10), (-16, -10));
                pen.Line((0, -42), (0, -11), 1.6f, Pen.Darker(_garment));
                for (var y = -36; y < -12; y += 9)
                    pen.Oval(4.5f, y, 1.7f, 1.7f, new(0xFF, 0xE9, 0xA8), outlined: false);
                break;
            default:
                pen.Polygon(_fur, true, (-10, -45), (10, -45), (14, -19), (-14, -19));
                pen.Polygon(_garment, true, (-13, -28), (13, -28), (14, -14), (-14, -14));
                pen.Box(-8, -37, 8, -26, _garment);
                pen.Line((-8, -36), (-9, -45), 3, _garment);
                pen.Line((8, -36), (9, -45), 3, _garment);
                break;
        }
    }

    private void Ears()
    {
        foreach (var side in (int[])[-1, 1])
        {
            switch (character.Species)
            {
                case Species.Cat:
                    pen.Polygon(_fur, true, (side * 21, -66), (side * 20, -91), (side * 5, -79));
                    pen.Polygon(Blush, false, (side * 18, -73), (side * 17.5f, -85), (side * 10, -78));
                    break;
                case Species.Bear:
                    pen.Oval(side * 17, -78, 7.5f, 7.5f, _fur);
                    pen.Oval(side * 17, -78, 4, 4, Pen.Darker(_fur), outlined: false);
                    break;
                case Species.Rabbit:
                    pen.Oval(side * 14, -90, 6, 19, _fur, side * 14);
                    pen.Oval(side * 14, -90, 2.8f, 13, Blush, side * 14, outlined: false);
                    break;
                case Species.Mouse:
                    pen.Oval(side * 22, -77, 11.5f, 11.5f, _fur);
                    pen.Oval(side * 22, -77, 7.5f, 7.5f, Blush, outlined: false);
                    break;
                case Species.Fox:
                    pen.Polygon(_fur, true, (side * 22, -64), (side * 24, -95), (side * 4, -79));
                    pen.Polygon(Ink, false, (side * 23, -83), (side * 23.5f, -93.5f), (side * 15, -86.5f));
                    break;
            }
        }
    }

    private void Head()
    {
        pen.Oval(0, HeadY, 23, 20, _fur);
        var light = Pen.Lighter(_fur);
        switch (character.Species)
        {
            case Species.Dog:
                foreach (var side in (int[])[-1, 1])
                    pen.Oval(side * 22, -60, 6.5f, 15, Pen.Mix(_fur, Pen.Darker(_fur), 0.6f), side * -10);
                pen.Oval(0, -54, 11, 9, light, outlined: false);
                pen.Oval(0, -58.5f, 4.5f, 3.2f, Ink, outlined: false);
                break;
            case Species.Fox:
                pen.Oval(-11, -53, 10, 7.5f, SKColors.White, 25, outlined: false);
                pen.Oval(11, -53, 10, 7.5f, SKColors.White, -25, outlined: false);
                pen.Oval(0, -54, 3.6f, 2.8f, Ink, outlined: false);
                break;
            case Species.Bear:
                pen.Oval(0, -54, 8.5f, 7, light, outlined: false);
                pen.Oval(0, -57, 3.6f, 2.6f, Ink, outlined: false);
                break;
            case Species.Mouse:
                pen.Oval(0, -54, 6, 5, light, outlined: false);
                pen.Oval(0, -56, 3.4f, 3, new(0xE8, 0x6A, 0x7C), outlined: false);
                break;
            case Species.Rabbit:
                pen.Oval(0, -54, 7, 5.5f, light, outlined: false);
                pen.Polygon(new(0xE8, 0x6A, 0x7C), false, (-3, -58), (3, -58), (0, -54.5f));
                pen.Box(-2.6f, -50.5f, 2.6f, -46, SKColors.White);
                break;
            default:
                pen.Polygon(new(0xE8, 0x6A, 0x7C), false, (-3, -57), (3, -57), (0, -53.5f));
                foreach (var side in (int[])[-1, 1])
                {
                    pen.Line((side * 11, -54), (side * 24, -57), 1.1f, Pen.Darker(Pen.Darker(_fur)));
                    pen.Line((side * 11, -51), (side * 24, -50), 1.1f, Pen.Darker(Pen.Darker(_fur)));
                }
                break;
        }
        if (character.Species != Species.Rabbit)
            pen.Arc(0, -52, 5, 4, 20, 140, 1.5f, Ink);
        foreach (var side in (int[])[-1, 1])
        {
            pen.Oval(side * 9, -63, 4.2f, 5, SKColors.White, outlined: false);
            pen.Oval(side * 9, -62.5f, 3.1f, 4, Ink, outlined: false);
            pen.Oval((side * 9) + 1, -64.5f, 1.2f, 1.2f, SKColors.White, outlined: false);
            pen.Oval(side * 16, -54.5f, 3, 2, Blush, outlined: false);
        }
    }

    private void Glasses()
    {
        if (character.Glasses == Drawing.Glasses.None)
            return;
        foreach (var side in (int[])[-1, 1])
        {
            if (character.Glasses == Drawing.Glasses.Sunglasses)
                pen.Box((side * 9) - 7.5f, -69, (side * 9) + 7.5f, -57.5f, new(0x22, 0x22, 0x2C));
            else
                pen.Arc(side * 9, -63, 7.4f, 7.4f, 0, 360, 2, new(0x5A, 0x2E, 0x1E));
            pen.Line((side * 16, -64), (side * 22, -66), 1.8f, new(0x22, 0x22, 0x2C));
        }
        pen.Line((-2, -64), (2, -64), 2, new(0x22, 0x22, 0x2C));
    }

    private void Headgear()
    {
        switch (character.Hat)
        {
            case Hat.Cap:
                using (var dome = Dome(15, -75, 15))
                    pen.Shape(dome, _hat);
                pen.Oval(14, -75.5f, 14, 3.2f, Pen.Mix(_hat, Pen.Darker(_hat), 0.4f), 8);
                break;
            case Hat.TopHat:
                pen.Box(-12, -103, 12, -77, _hat);
                pen.Line((-11, -81), (11, -81), 4.4f, Pen.Darker(_hat));
                pen.Oval(0, -77, 20, 3.6f, _hat);
                break;
            case Hat.WoollyHat:
                using (var dome = Dome(17, -74, 19))
                    pen.Shape(dome, _hat);
                pen.Box(-19, -78, 19, -71, Pen.Lighter(_hat));
                pen.Oval(0, -95, 5, 5, SKColors.White);
                break;
            case Hat.PartyHat:
                pen.Polygon(_hat, true, (-12, -76), (12, -76), (0, -105));
                pen.Line((-8, -83), (9, -80), 3, new(0xFF, 0xF4, 0xD6));
                pen.Line((-5, -92), (5.5f, -90), 3, new(0xFF, 0xF4, 0xD6));
                pen.Oval(0, -105, 3.6f, 3.6f, new(0xFF, 0xF4, 0xD6));
                break;
        }
    }

    // The upper half of an oval.
    private static SKPath Dome(float radius, float y, float height)
    {
        var path = new SKPath();
        path.AddArc(new(-radius, y - height, radius, y + height), 180, 180);
        path.Close();
        return path;
    }

    private static SKColor FurColour(Fur fur) => fur switch
    {
        Fur.White => new(0xF6, 0xF2, 0xEA),
        Fur.Grey => new(0x9A, 0xA0, 0xAB),
        Fur.Brown => new(0x96, 0x62, 0x3C),
        Fur.Orange => new(0xF0, 0x8C, 0x2E),
        Fur.Black => new(0x3F, 0x3B, 0x45),
        _ => new(0xF6, 0xAE, 0xC6),
    };

    private static SKColor DyeColour(Dye dye) => dye switch
    {
        Dye.Red => new(0xD9, 0x2F, 0x35),
        Dye.Blue => new(0x2C, 0x62, 0xD0),
        Dye.Green => new(0x2F, 0x9B, 0x4E),
        Dye.Yellow => new(0xF5, 0xC8, 0x2C),
        _ => new(0x8C, 0x46, 0xB8),
    };
}
