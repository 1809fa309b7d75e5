namespace GenerateStory.Drawing;

/// <summary>What a character does.</summary>
internal enum Pose { Standing, Waving, Walking, Jumping, Sitting }

/// <summary>What a character holds.</summary>
internal enum Prop { None, Balloon, Flower, IceCream }

/// <summary>Where a picture is set.</summary>
internal enum Scene { Beach, Forest, Street, Night, Snow, Kitchen, Meadow, Desert }

/// <summary>What changes from picture to picture of a story.</summary>
internal sealed record Situation
{
    public required Pose Pose { get; init; }

    public required Prop Prop { get; init; }

    public required Scene Scene { get; init; }

    public static Situation Next(Random random) => new()
    {
        Pose = Character.Any<Pose>(random),
        Prop = random.Next(2) == 0 ? Prop.None : Character.Any<Prop>(random),
        Scene = Character.Any<Scene>(random),
    };
}
