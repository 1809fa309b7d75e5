using Microsoft.ML.Attention.Vision;

namespace Vision.Tests;

public sealed class ParameterPatternsTests
{
    private static readonly string[] Names = ["stem.weight", "stages.0.0.norm.weight", "stages.1.0.norm.weight", "head.weight", "head.bias"];

    [Theory]
    [InlineData("", "", "stem.weight stages.0.0.norm.weight stages.1.0.norm.weight head.weight head.bias")]
    [InlineData("stages.0.*", "", "stem.weight stages.1.0.norm.weight head.weight head.bias")]
    [InlineData("*", "head.*", "head.weight head.bias")]
    [InlineData("* stem.weight", "stages.?.0.*", "stages.0.0.norm.weight stages.1.0.norm.weight")]
    public void UnfreezeWinsOverFreeze(string freeze, string unfreeze, string trained) =>
        Assert.Equal(trained.Split(' '), Names.Where(Patterns(freeze, unfreeze).IsTrainable));

    [Fact]
    public void APatternThatMatchesNothingIsAnError()
    {
        Patterns("stages.*", "head.*").Check(Names);
        var error = Assert.Throws<ArgumentException>(() => Patterns("layers.*", "").Check(Names));
        Assert.Contains("'layers.*'; the model has stem.weight, ", error.Message);
    }

    private static ParameterPatterns Patterns(string freeze, string unfreeze) =>
        new(freeze.Split(' ', StringSplitOptions.RemoveEmptyEntries), unfreeze.Split(' ', StringSplitOptions.RemoveEmptyEntries));
}
