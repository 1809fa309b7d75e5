namespace Microsoft.ML.Attention.Vision;

/// <summary>How the pictures of a story come on pages.</summary>
public enum StoryLayout
{
    /// <summary>One page of rows with whole pictures and smaller ones between them.</summary>
    Classic = 0,

    /// <summary>Pages of two by two pictures.</summary>
    FourPanels = 1,

    /// <summary>No pages.</summary>
    None = 2,
}
