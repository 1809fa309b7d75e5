namespace Microsoft.ML.Attention.Vision;

/// <summary>How a story is made of its lines.</summary>
public sealed record StoryOptions
{
    /// <summary>In how many pictures, in which it is alone, each character is made up: the others agree with them. 1 to 4 in StoryDiffusion.</summary>
    public int IdentityCount { get; init; } = 1;
}
